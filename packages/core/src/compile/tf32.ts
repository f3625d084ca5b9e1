// Products of f32 in tf32: operands rounded to ten bits after the point, sums in f32. A card does it in kernels of its own; here is the naive
// computation that those are measured by, which any device can run.
import type { Device } from "../device/device.js";
import { GraphError } from "../graph/errors.js";
import { type Assignment, Graph, type Node, type Value } from "../graph/graph.js";
import { mul, sub } from "../ops/elementwise.js";
import { addNode, type RewrittenGraph } from "./activations.js";

/** Which inputs of an op are rounded: those of the products that have kernels in tf32. Attention has none. */
const PRODUCTS: Readonly<Record<string, readonly number[]>> = {
	matmul: [0, 1],
	conv2d: [0, 1, 2],
	conv2dInputGrad: [0, 1],
	conv2dWeightGrad: [0, 1, 2],
};

/** A kernel that only devices have whose products can be in tf32. */
const KERNEL = "matmul_tf32";

/**
 * Whether the device's own kernels compute in tf32 when a program asks for it. Without them only the naive computation can be had.
 *
 * @throws GraphError where the device has no such kernels and the program is to be fast
 */
export function hasTf32(device: Pick<Device, "kind" | "kernels">, naive: boolean): boolean {
	if (device.kernels.has(KERNEL)) return true;
	if (naive) return false;
	throw new GraphError(
		`tf32 is arithmetic of CUDA cards, and ${device.kind} has none: leave it out, or choose a CUDA device`,
	);
}

/** The same graph with operands of products rounded to tf32 by ops of their own. `nodes` are in topological order. */
export function roundProductsToTf32(
	nodes: readonly Node[],
	outputs: readonly Value[],
	assignments: readonly Assignment[],
): RewrittenGraph {
	const graph = new Graph();
	const values = new Map<Value, Value>();
	const rounded = new Map<Value, Value>();
	const roundedOf = (value: Value): Value => {
		// What is stored in 16 bits is a number of tf32 already.
		if (value.dtype !== "f32") return value;
		let result = rounded.get(value);
		if (!result) {
			result = nearest(value);
			rounded.set(value, result);
		}
		return result;
	};
	for (const node of nodes) {
		const reads = PRODUCTS[node.op.name] ?? [];
		const inputs = node.inputs.map((input, i) => {
			const value = input && values.get(input)!;
			return value && reads.includes(i) ? roundedOf(value) : value;
		});
		const copy = addNode(graph, node, node.op, inputs, node.attributes, node.outputs);
		node.outputs.forEach((value, i) => {
			values.set(value, copy.outputs[i]!);
		});
	}
	for (const { tensor, value } of assignments) graph.assign(tensor, values.get(value)!);
	return {
		graph,
		nodes: graph.nodes,
		outputs: outputs.map((value) => values.get(value)!),
		assignments: graph.assignments,
	};
}

/** Dekker's splitting: in f32, x·(2¹³ + 1) less what it exceeds x by keeps x's upper 24 − 13 bits, rounded. */
function nearest(x: Value): Value {
	const product = mul(x, 2 ** 13 + 1);
	return sub(product, sub(product, x));
}
