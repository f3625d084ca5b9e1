// Decides what runs together: elementwise chains in one pass, sums in the epilogue of the product before them.
import type { Node, Value } from "../graph/graph.js";
import { constantData } from "../graph/graph.js";
import { sameShape } from "../graph/types.js";

/** At most so many inputs and instructions in one elementwise pass; the kernel has 32 registers. */
const MAX_INPUTS = 12;
const MAX_INSTRUCTIONS = 24;

/** Who reads each value. */
export class Uses {
	private readonly readers = new Map<Value, Node[]>();
	/** Values the program gives back or assigns to state. */
	private readonly kept: Set<Value>;

	constructor(nodes: readonly Node[], kept: Iterable<Value>) {
		this.kept = new Set(kept);
		for (const node of nodes)
			for (const input of node.inputs) {
				if (!input) continue;
				const list = this.readers.get(input);
				if (list) list.push(node);
				else this.readers.set(input, [node]);
			}
	}

	/** Nodes that read the value, once per input that is it. */
	of(value: Value): readonly Node[] {
		return this.readers.get(value) ?? [];
	}

	isKept(value: Value): boolean {
		return this.kept.has(value);
	}

	isUsed(value: Value): boolean {
		return this.isKept(value) || this.of(value).length > 0;
	}

	/** The one node that reads the value once and nothing else does, or null. */
	only(value: Value): Node | null {
		const readers = this.of(value);
		return readers.length === 1 && !this.isKept(value) ? readers[0]! : null;
	}
}

export interface Fusion {
	/** Elementwise nodes computed inside the pass of the node that reads them. */
	readonly inlined: ReadonlySet<Node>;
	/** Sums that become the residual of a product: the sum → the product, and the other operand. */
	readonly residuals: ReadonlyMap<Node, { readonly product: Node; readonly other: Value }>;
	/** The products in `residuals`. */
	readonly deferred: ReadonlySet<Node>;
}

export const NO_FUSION: Fusion = { inlined: new Set(), residuals: new Map(), deferred: new Set() };

/** Plans the fusion of a list of nodes in topological order. `halves`: products write 16-bit results themselves. */
export function planFusion(nodes: readonly Node[], uses: Uses, halves = false): Fusion {
	const residuals = new Map<Node, { product: Node; other: Value }>();
	const deferred = new Set<Node>();
	for (const node of nodes) {
		if (node.op.name !== "add") continue;
		const [a, b] = node.inputs as readonly [Value, Value];
		if (!sameShape(a.shape, b.shape)) continue;
		// The later product takes the earlier value: everything it needs is there by then.
		const [first, second] = a.node.id < b.node.id ? [b, a] : [a, b];
		for (const [y, other] of [
			[first, second],
			[second, first],
		] as const) {
			const product = y.node;
			const slot = product.op.residualInput;
			if (slot === undefined || y.index !== 0 || product.inputs[slot] || uses.only(y) !== node || deferred.has(product))
				continue;
			if (constantData(other) || y.dtype !== node.outputs[0]!.dtype || (y.dtype !== "f32" && !halves)) continue;
			// Its other outputs must not be read before the sum.
			if (
				product.outputs.some(
					(out) => out !== y && (uses.isKept(out) || uses.of(out).some((reader) => reader.id < node.id)),
				)
			)
				continue;
			residuals.set(node, { product, other });
			deferred.add(product);
			break;
		}
	}

	// From the back: when a node is met, it is known into which pass its reader goes.
	const inlined = new Set<Node>();
	const rootOf = new Map<Node, Node>();
	const size = new Map<Node, { inputs: number; instructions: number }>();
	for (let i = nodes.length - 1; i >= 0; i--) {
		const node = nodes[i]!;
		if (!node.op.pointwise || residuals.has(node)) continue;
		const cost = {
			inputs: node.inputs.filter((v) => v && !isImmediate(v)).length,
			instructions: node.inputs.length + 1,
		};
		const reader = uses.only(node.outputs[0]!);
		if (
			reader?.op.pointwise &&
			node.outputs[0]!.dtype !== "i32" &&
			!residuals.has(reader) &&
			sameShape(reader.outputs[0]!.shape, node.outputs[0]!.shape)
		) {
			const root = rootOf.get(reader) ?? reader;
			const group = size.get(root)!;
			if (group.inputs - 1 + cost.inputs <= MAX_INPUTS && group.instructions + cost.instructions <= MAX_INSTRUCTIONS) {
				inlined.add(node);
				rootOf.set(node, root);
				group.inputs += cost.inputs - 1;
				group.instructions += cost.instructions;
				continue;
			}
		}
		size.set(node, cost);
	}
	return { inlined, residuals, deferred };
}

/** Whether a value is a scalar constant that an elementwise pass carries as an immediate. */
export function isImmediate(value: Value): boolean {
	return constantData(value)?.length === 1 && value.dtype !== "i32";
}
