// Reverse-mode differentiation as a transformation of the graph.
import { GraphError, ShapeError } from "../graph/errors.js";
import type { Graph, Node, Value } from "../graph/graph.js";
import { formatShape, sameShape } from "../graph/types.js";
import { nodesBehind } from "../interpret/interpreter.js";
import { add } from "../ops/elementwise.js";
import { broadcastTo, concat, pad, sliceOp } from "../ops/shape.js";
import type { GradientContext } from "../ops/table.js";

/**
 * Gradients of `output` with respect to `wrt`, as new values of the same graph.
 *
 * Only what the chosen values need is written: an op is differentiated if it lies between one of them and the output, and each rule is
 * told which of its inputs' gradients are wanted. Results written inside `graph.checkpoint` are computed again instead of being kept.
 *
 * @param output Any shape; unless `seed` is given, a scalar.
 * @param seed Gradient of the loss with respect to `output`; default 1.
 * @returns One value per element of `wrt`, of its shape; zeros where the output does not depend on it.
 */
export function gradients(output: Value, wrt: readonly Value[], seed?: Value): Value[] {
	const graph = output.graph;
	for (const value of wrt)
		if (value.graph !== graph) throw new GraphError("gradients: a value of another graph was given");
	if (!seed && output.size !== 1)
		throw new ShapeError(`gradients: the output ${output} is no scalar; give its gradient (seed), or reduce it first`);
	if (seed && !sameShape(seed.shape, output.shape))
		throw new ShapeError(
			`gradients: the seed ${formatShape(seed.shape)} must have the output's shape ${formatShape(output.shape)}`,
		);
	return graph.outsideRegions(() => reverse(graph, output, wrt, seed));
}

function reverse(graph: Graph, output: Value, wrt: readonly Value[], seed?: Value): Value[] {
	const wanted = new Set(wrt);
	const nodes = nodesBehind([output]);

	// Activity: which values depend on a wanted one.
	const active = new Set<Value>(wrt);
	for (const node of nodes)
		if (node.inputs.some((input) => input && active.has(input))) for (const value of node.outputs) active.add(value);

	const grads = new Map<Value, Value>();
	const accumulate = (value: Value, grad: Value) => {
		if (!sameShape(grad.shape, value.shape))
			throw new GraphError(`gradients: a rule gave ${grad} for ${value} of ${value.node.label}`);
		const sofar = grads.get(value);
		grads.set(value, sofar ? add(sofar, grad) : grad);
	};
	if (active.has(output)) accumulate(output, seed ?? broadcastTo(graph.constant(1, [], output.dtype), output.shape));

	const recomputed = new Recomputation(graph);
	const slices = new SliceGradients();
	for (let i = nodes.length - 1; i >= 0; i--) {
		const node = nodes[i]!;
		for (const value of node.outputs) {
			const joined = slices.take(value);
			if (joined) accumulate(value, joined);
		}
		if (node.op === sliceOp && active.has(node.inputs[0]!)) {
			const grad = grads.get(node.outputs[0]!);
			if (!grad || slices.add(node, grad)) continue;
		}
		if (node.op.leaf || !node.outputs.some((value) => grads.has(value))) continue;
		if (!node.inputs.some((input) => input && active.has(input))) continue;
		const rule = node.op.differentiate;
		if (!rule) throw new GraphError(`gradients: ${node.label} has no gradient`);
		const results = graph.named(node.path ? `∂${node.path}` : "∂", () =>
			rule(contextOf(node, grads, active, recomputed)),
		);
		node.inputs.forEach((input, k) => {
			const grad = results[k];
			if (input && grad && active.has(input)) accumulate(input, grad);
		});
		// The gradient of an output is not needed once its node is done, unless it was asked for.
		for (const value of node.outputs) if (!wanted.has(value)) grads.delete(value);
	}
	return wrt.map((value) => grads.get(value) ?? broadcastTo(graph.constant(0, [], value.dtype), value.shape));
}

/** Pieces of one value's gradient that come from slices of it: put side by side once, rather than padded and added one by one. */
class SliceGradients {
	private readonly pieces = new Map<Value, { axis: number; list: { start: number; grad: Value }[] }>();

	/** Keeps the gradient of a slice; false where it overlaps another or lies along another axis. */
	add(slice: Node, grad: Value): boolean {
		const whole = slice.inputs[0]!;
		const { axis, start } = slice.attributes as { axis: number; start: number };
		const known = this.pieces.get(whole) ?? { axis, list: [] };
		const end = start + grad.shape[axis]!;
		if (known.axis !== axis || known.list.some((p) => p.start < end && start < p.start + p.grad.shape[axis]!))
			return false;
		known.list.push({ start, grad });
		this.pieces.set(whole, known);
		return true;
	}

	/** The gradient that all kept slices of a value make together, or null where there are none. */
	take(whole: Value): Value | null {
		const known = this.pieces.get(whole);
		if (!known) return null;
		this.pieces.delete(whole);
		const { axis, list } = known;
		const length = whole.shape[axis]!;
		if (list.length === 1) {
			const { start, grad } = list[0]!;
			return pad(grad, axis, start, length - start - grad.shape[axis]!);
		}
		const parts: Value[] = [];
		let at = 0;
		const fill = (to: number, like: Value) => {
			if (to > at) parts.push(zeros(like, axis, to - at));
		};
		for (const { start, grad } of list.sort((a, b) => a.start - b.start)) {
			fill(start, grad);
			parts.push(grad);
			at = start + grad.shape[axis]!;
		}
		fill(length, list[0]!.grad);
		return concat(parts, axis);
	}
}

/** Zeros of a value's type but for one axis. */
function zeros(like: Value, axis: number, length: number): Value {
	const shape = like.shape.map((n, i) => (i === axis ? length : n));
	return broadcastTo(like.graph.constant(0, [], like.dtype), shape);
}

function contextOf(
	node: Node,
	grads: Map<Value, Value>,
	active: Set<Value>,
	recomputed: Recomputation,
): GradientContext {
	const input = (index: number): Value => {
		const value = node.inputs[index];
		if (!value) throw new GraphError(`gradients: ${node.label} has no input ${index}`);
		return value;
	};
	return {
		attributes: node.attributes,
		input: (index) => recomputed.of(input(index), node.region),
		hasInput: (index) => !!node.inputs[index],
		inputType: input,
		output: (index) => recomputed.of(node.outputs[index]!, node.region),
		outputType: (index) => node.outputs[index]!,
		grad: (index) => grads.get(node.outputs[index]!) ?? null,
		needs: (index) => !!node.inputs[index] && active.has(node.inputs[index]!),
	};
}

/** Second copies of what checkpoint regions computed. A region's copies are shared by all rules of that region. */
class Recomputation {
	private readonly copies = new Map<Value, Value>();

	constructor(private readonly graph: Graph) {}

	/** The value to use in backward by a node of `region`: itself, or a copy if it was computed inside that same region. */
	of(value: Value, region: number): Value {
		if (region === 0 || value.node.region !== region) return value;
		const copy = this.copies.get(value);
		if (copy) return copy;
		const node = value.node;
		const outputs = this.graph.named(node.path ? `again ${node.path}` : "again", () =>
			this.graph.apply(
				node.op,
				node.inputs.map((input) => input && this.of(input, region)),
				node.attributes,
			),
		);
		node.outputs.forEach((output, i) => {
			this.copies.set(output, outputs[i]!);
		});
		return this.copies.get(value)!;
	}
}

/** A function of values that returns a scalar loss. */
export type LossFunction = (...values: Value[]) => Value;

/** The loss and its gradients with respect to every argument: `valueAndGrad(f)(x, w)` → `{ value, grads: [dx, dw] }`. */
export function valueAndGrad(loss: LossFunction): (...values: Value[]) => { value: Value; grads: Value[] } {
	return (...values) => {
		const value = loss(...values);
		return { value, grads: gradients(value, values) };
	};
}

/** The gradients alone: `grad(f)(x)` → `[dx]`. */
export function grad(loss: LossFunction): (...values: Value[]) => Value[] {
	return (...values) => valueAndGrad(loss)(...values).grads;
}
