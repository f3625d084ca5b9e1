// Weights defined by a formula: the same in any language, so that numbers computed with a small network can be compared without a file.
import { FrozenTensor, type Shape, WeightSet } from "@dreamdist/core";

/** The value of element i of tensor number n; `row` is the number of elements per entry of the first axis. */
type Formula = (name: string, shape: Shape, row: number) => (i: number, n: number) => number;

function weightsBy(formula: Formula, shapes: ReadonlyMap<string, Shape>): WeightSet {
	const tensors = new Map<string, FrozenTensor>();
	[...shapes.keys()].sort().forEach((name, n) => {
		const shape = shapes.get(name)!;
		const elements = shape.reduce((a, b) => a * b, 1);
		const value = formula(name, shape, elements / (shape[0] ?? 1));
		const data = new Float32Array(elements);
		for (let i = 0; i < elements; i++) data[i] = value(i, n);
		tensors.set(name, new FrozenTensor(name, shape, "f32", { data }));
	});
	return new WeightSet(tensors, "formula weights");
}

/**
 * Small deterministic weights. The names are sorted as plain strings; element i (row-major) of tensor number n is made from
 * w = sin(0.37·i + 0.11·n), in float64 and then rounded to float32:
 * one axis and a name that ends in "weight": 1 + 0.1·w; any other with one axis: 0.05·w; more axes: 0.5·w / √(elements / first axis).
 *
 * @param shapes every weight of a network by name
 */
export function formulaWeights(shapes: ReadonlyMap<string, Shape>): WeightSet {
	return weightsBy((name, shape, row) => {
		const [offset, factor] =
			shape.length > 1 ? [0, 0.5 / Math.sqrt(row)] : name.endsWith("weight") ? [1, 0.1] : [0, 0.05];
		return (i, n) => offset + factor * Math.sin(0.37 * i + 0.11 * n);
	}, shapes);
}

/** A pseudo-random number in (−1, 1), the same in any language that has 32-bit integers. */
export function hashedNumber(i: number, n: number, salt: number): number {
	let h = (Math.imul(i, 0x9e3779b1) + Math.imul(n, 0x85ebca77) + Math.imul(salt, 0xc2b2ae3d) + 0x165667b1) >>> 0;
	h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
	h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
	return (((h ^ (h >>> 16)) >>> 0) + 0.5) / 2 ** 31 - 1;
}

/**
 * Weights like random ones, from a hash u of element, tensor number (in the sorted list of names) and salt: two or more axes:
 * u·√(6 / (elements / first axis)); names that end in "running_var": 1 + 0.3·u; that end in "weight": 1 + 0.1·u; the rest: 0.1·u. LPIPS'
 * mixing weights (`lin0.model.1.weight` …) are 0.5 + 0.5·u.
 *
 * @param shapes every weight of a network by name
 */
export function hashedWeights(shapes: ReadonlyMap<string, Shape>, salt: number): WeightSet {
	return weightsBy((name, shape, row) => {
		let [offset, factor] = [0, 0.1];
		if (/^lin\d\.model\.1\.weight$/.test(name)) [offset, factor] = [0.5, 0.5];
		else if (shape.length > 1) factor = Math.sqrt(6 / row);
		else if (name.endsWith("running_var")) [offset, factor] = [1, 0.3];
		else if (name.endsWith("weight")) offset = 1;
		return (i, n) => offset + factor * hashedNumber(i, n, salt);
	}, shapes);
}
