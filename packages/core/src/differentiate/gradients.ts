// Reverse-mode differentiation as a transformation of the graph.
import { GraphError, ShapeError } from "../graph/errors.js";
import type { Graph, Node, Value } from "../graph/graph.js";
import { formatShape, sameShape } from "../graph/types.js";
import { nodesBehind } from "../interpret/interpreter.js";
import { add } from "../ops/elementwise.js";
import { broadcastTo } from "../ops/shape.js";
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
	for (let i = nodes.length - 1; i >= 0; i--) {
		const node = nodes[i]!;
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
