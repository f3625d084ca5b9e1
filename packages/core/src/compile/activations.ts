// Storing activations in 16 bits: a rewriting of the graph before it is compiled.
//
// Products (matmul, convolution, attention and their gradients) read 16-bit operands and write 16-bit results; norms read what they are
// given; elementwise ops are of 16 bits where all their operands are. What has to stay exact stays f32: inputs, state (learnables and
// their moments), losses and everything else computed from f32 alone, sums, statistics, gradients of weights. A product's result is f32
// too where only such things read it, e.g. a prediction that a loss is taken of.
import type { WeightStore } from "../device/weights.js";
import { type Assignment, constantData, frozenOf, Graph, Node, type Value } from "../graph/graph.js";
import type { DType, Type } from "../graph/types.js";
import { castOp } from "../ops/elementwise.js";

/** How activations are stored: in f32, or in 16 bits with f32 sums. */
export type ActivationType = "f32" | "f16" | "bf16";

/** Of an op that has kernels for 16-bit operands. */
interface ProductRule {
	/** Inputs that are read in 16 bits. */
	readonly low: readonly number[];
	/** Inputs that are read in f32: vectors that cost nothing. */
	readonly exact?: readonly number[];
	/** Outputs that are f32 whatever is read. */
	readonly exactOutputs?: readonly number[];
	/** Whether the kernel can also write its other results in f32. */
	readonly writesExact?: boolean;
}

const PRODUCTS: Readonly<Record<string, ProductRule>> = {
	matmul: { low: [0, 1], exact: [2], writesExact: true },
	conv2d: { low: [0, 1, 2], exact: [3], writesExact: true },
	conv2dInputGrad: { low: [0, 1], writesExact: true },
	conv2dWeightGrad: { low: [0, 1, 2], exactOutputs: [0] },
	attention: { low: [0, 1, 2], exactOutputs: [1] },
	attentionGrad: { low: [0, 1, 2, 3, 5], exact: [4] },
};

/** Of a norm or its gradient: inputs that are vectors or statistics. */
const NORMS: Readonly<Record<string, readonly number[]>> = {
	groupNorm: [2, 3],
	groupNormGrad: [2, 3, 4],
	layerNorm: [1, 2],
	layerNormGrad: [1, 2],
};
/** Of a norm's gradient: which input has each output's type; the others are f32. */
const NORM_GRADIENTS: Readonly<Record<string, readonly (number | null)[]>> = {
	groupNormGrad: [0, null, null, 1],
	layerNormGrad: [0, null, null],
};

/** Ops whose result is of the type of what they read. */
const FOLLOWING = new Set(["softmax", "softmaxGrad", "pool2d", "pool2dGrad"]);

export interface RewrittenGraph {
	readonly graph: Graph;
	readonly nodes: readonly Node[];
	readonly outputs: readonly Value[];
	readonly assignments: readonly Assignment[];
}

/** The same computation with activations stored in 16 bits. `nodes` are in topological order. */
export function storeActivationsIn(
	low: "f16" | "bf16",
	weights: WeightStore,
	nodes: readonly Node[],
	outputs: readonly Value[],
	assignments: readonly Assignment[],
): RewrittenGraph {
	const types = new TypeChoice(low, nodes, [...outputs, ...assignments.map(({ value }) => value)]);
	return new Rewriting(low, weights, types).run(nodes, outputs, assignments);
}

/** What each value is stored in. */
class TypeChoice {
	private readonly readers = new Map<Value, { node: Node; input: number }[]>();
	private readonly kept: ReadonlySet<Value>;
	private types = new Map<Value, DType>();
	/** Products' results that nothing needs in 16 bits. */
	private readonly exact = new Set<Value>();
	private readonly weak = new Map<Value, boolean>();

	constructor(
		private readonly low: DType,
		nodes: readonly Node[],
		kept: readonly Value[],
	) {
		this.kept = new Set(kept);
		for (const node of nodes)
			node.inputs.forEach((value, input) => {
				if (!value) return;
				const list = this.readers.get(value);
				if (list) list.push({ node, input });
				else this.readers.set(value, [{ node, input }]);
			});
		for (const node of nodes) this.choose(node);
		const known = new Map<Value, boolean>();
		for (const node of nodes) {
			const rule = PRODUCTS[node.op.name];
			if (!rule?.writesExact) continue;
			for (const value of node.outputs) if (this.wantedExact(value, known)) this.exact.add(value);
		}
		this.types = new Map();
		for (const node of nodes) this.choose(node);
	}

	of(value: Value): DType {
		return this.types.get(value) ?? value.dtype;
	}

	private isLow(value: Value): boolean {
		return this.of(value) === this.low;
	}

	private choose(node: Node): void {
		node.outputs.forEach((value, i) => {
			if (value.dtype === "f32" && this.isStoredLow(node, value, i)) this.types.set(value, this.low);
		});
	}

	private isStoredLow(node: Node, value: Value, index: number): boolean {
		const { name } = node.op;
		if (node.op.leaf || name === "cast") return false;
		const rule = PRODUCTS[name];
		if (rule) return !rule.exactOutputs?.includes(index) && !this.exact.has(value);
		const gradient = NORM_GRADIENTS[name];
		if (gradient) {
			const like = gradient[index];
			return like != null && this.isLow(node.inputs[like]!);
		}
		if (NORMS[name]) return index === 0 && (this.isLow(node.inputs[0]!) || this.readInLow(value));
		if (node.op.view) return this.isLow(node.inputs[0]!);
		if (FOLLOWING.has(name)) return node.inputs.every((input) => !input || this.isLow(input));
		if (name === "concat") {
			const parts = node.inputs.filter((input) => input && !this.isWeak(input)) as Value[];
			return parts.length > 0 && (parts.every((part) => this.isLow(part)) || this.readInLow(value));
		}
		if (node.op.pointwise) {
			const operands = node.inputs.filter((input) => input && input.size > 1 && !this.isWeak(input)) as Value[];
			return operands.length > 0 && operands.every((operand) => this.isLow(operand));
		}
		return false;
	}

	/** Whether a value is one constant repeated: it takes the type of what it meets. */
	private isWeak(value: Value): boolean {
		let weak = this.weak.get(value);
		if (weak === undefined) {
			const { node } = value;
			weak = constantData(value)?.length === 1 || (!!node.op.view && this.isWeak(node.inputs[0]!));
			this.weak.set(value, weak);
		}
		return weak;
	}

	/** Whether some product reads the value, or a view of it. */
	private readInLow(value: Value): boolean {
		return (this.readers.get(value) ?? []).some(({ node, input }) => {
			const rule = PRODUCTS[node.op.name];
			if (rule) return rule.low.includes(input);
			return (node.op.view || node.op.name === "concat") && this.readInLow(node.outputs[0]!);
		});
	}

	/** Whether all that is made of a value is f32 for reasons of its own. */
	private wantedExact(value: Value, known: Map<Value, boolean>): boolean {
		const before = known.get(value);
		if (before !== undefined) return before;
		const readers = this.readers.get(value) ?? [];
		const wanted =
			(readers.length > 0 || this.kept.has(value)) &&
			readers.every(({ node }) => {
				const { name } = node.op;
				if (PRODUCTS[name] || NORMS[name] || FOLLOWING.has(name)) return false;
				const result = node.outputs[0]!;
				if (node.op.view || name === "concat") return this.wantedExact(result, known);
				if (node.op.pointwise) return !this.isLow(result) || this.wantedExact(result, known);
				return true;
			});
		known.set(value, wanted);
		return wanted;
	}
}

class Rewriting {
	private readonly graph = new Graph();
	private readonly values = new Map<Value, Value>();
	private readonly casts = new Map<Value, Map<DType, Value>>();

	constructor(
		private readonly low: "f16" | "bf16",
		private readonly weights: WeightStore,
		private readonly types: TypeChoice,
	) {}

	run(nodes: readonly Node[], outputs: readonly Value[], assignments: readonly Assignment[]): RewrittenGraph {
		for (const node of nodes) this.rewrite(node);
		const back = (value: Value) => this.as(this.values.get(value)!, value.dtype);
		const newOutputs = outputs.map(back);
		for (const { tensor, value } of assignments) this.graph.assign(tensor, back(value));
		return {
			graph: this.graph,
			nodes: this.graph.nodes,
			outputs: newOutputs,
			assignments: this.graph.assignments,
		};
	}

	private rewrite(node: Node): void {
		const inputs = node.inputs.map((input, i) => input && this.operand(node, i, this.values.get(input)!));
		const types = node.outputs.map((value): Type => ({ shape: value.shape, dtype: this.types.of(value) }));
		const made = addNode(this.graph, node, node.op, inputs, node.attributes, types);
		node.outputs.forEach((value, i) => {
			this.values.set(value, made.outputs[i]!);
		});
	}

	private operand(node: Node, index: number, value: Value): Value {
		const { name } = node.op;
		const rule = PRODUCTS[name];
		if (rule?.low.includes(index)) return this.as(value, this.low);
		if (rule?.exact?.includes(index) || NORMS[name]?.includes(index)) return this.as(value, "f32");
		const follows = rule || NORMS[name] || node.op.view || node.op.pointwise || FOLLOWING.has(name);
		if (follows || name === "concat" || name === "reduce") return value;
		return this.as(value, node.inputs[index]!.dtype);
	}

	/** The value in a type. Frozen weights are converted when they are packed. */
	private as(value: Value, dtype: DType): Value {
		if (value.dtype === dtype || value.dtype === "i32") return value;
		const frozen = frozenOf(value);
		if (frozen) return this.graph.frozen(this.weights.inType(frozen, dtype));
		let known = this.casts.get(value);
		if (!known) {
			known = new Map();
			this.casts.set(value, known);
		}
		let converted = known.get(dtype);
		if (!converted) {
			converted = addNode(this.graph, value.node, castOp, [value], { dtype }, [{ shape: value.shape, dtype }])
				.outputs[0]!;
			known.set(dtype, converted);
		}
		return converted;
	}
}

/** A node in another graph, with the place of `like` in the model. */
export function addNode(
	graph: Graph,
	like: Node,
	op: Node["op"],
	inputs: readonly (Value | null)[],
	attributes: Node["attributes"],
	types: readonly Type[],
): Node {
	// A leaf that the graph knows by what it stands for.
	const frozen = op.leaf ? frozenOf(like.outputs[0]!) : null;
	if (frozen) return graph.frozen(frozen).node;
	const node = new Node(graph, graph.nodes.length, op, inputs, attributes, types, like.path, 0);
	graph.nodes.push(node);
	return node;
}
