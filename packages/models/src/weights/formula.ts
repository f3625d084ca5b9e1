// Weights defined by a formula: the same in any language, so that numbers computed with a small network can be compared without a file.
import { FrozenTensor, type Shape, WeightSet } from "@dreamdist/core";

/**
 * Small deterministic weights. The names are sorted as plain strings; element i (row-major) of tensor number n is made from
 * w = sin(0.37·i + 0.11·n), in float64 and then rounded to float32:
 * one axis and a name that ends in "weight": 1 + 0.1·w; any other with one axis: 0.05·w; more axes: 0.5·w / √(elements / first axis).
 *
 * @param shapes every weight of a network by name
 */
export function formulaWeights(shapes: ReadonlyMap<string, Shape>): WeightSet {
	const tensors = new Map<string, FrozenTensor>();
	[...shapes.keys()].sort().forEach((name, index) => {
		const shape = shapes.get(name)!;
		const elements = shape.reduce((a, b) => a * b, 1);
		const [offset, factor] =
			shape.length > 1 ? [0, 0.5 / Math.sqrt(elements / shape[0]!)] : name.endsWith("weight") ? [1, 0.1] : [0, 0.05];
		const data = Float32Array.from({ length: elements }, (_, i) => offset + factor * Math.sin(0.37 * i + 0.11 * index));
		tensors.set(name, new FrozenTensor(name, shape, "f32", { data }));
	});
	return new WeightSet(tensors, "formula weights");
}
