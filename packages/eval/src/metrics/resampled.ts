// Distances between distributions from the products of their features alone, so that resampling pictures costs no new products.
import type { FeatureSet } from "../features/feature-set.js";
import { rowProducts } from "../linear-algebra/products.js";
import { singularValues, symmetricEigenvalues } from "../linear-algebra/spectrum.js";

/** Inner products within and between two sets. */
export interface Products {
	readonly n: number;
	readonly m: number;
	readonly width: number;
	/** [n, n] */
	readonly real: Float64Array;
	/** [n, m] */
	readonly between: Float64Array;
	/** [m, m] */
	readonly generated: Float64Array;
}

export function productsOf(real: FeatureSet, generated: FeatureSet): Products {
	const { width } = real;
	return {
		n: real.rows,
		m: generated.rows,
		width,
		real: rowProducts(real.data, real.data, width),
		between: rowProducts(real.data, generated.data, width),
		generated: rowProducts(generated.data, generated.data, width),
	};
}

const meanOf = (values: Float64Array) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** The Fréchet distance with the generated pictures of these indices, as `frechetDistance` has it. */
export function resampledFrechet({ n, m, real, between, generated }: Products, indices: Int32Array): number {
	const picked = indices.length;
	const cross = new Float64Array(n * picked);
	const own = new Float64Array(picked * picked);
	for (let j = 0; j < picked; j++) {
		for (let i = 0; i < n; i++) cross[i * picked + j] = between[i * m + indices[j]!]!;
		for (let i = 0; i < picked; i++) own[i * picked + j] = generated[indices[i]! * m + indices[j]!]!;
	}
	const [meanReal, meanOwn, meanCross] = [meanOf(real), meanOf(own), meanOf(cross)];
	const trace = (matrix: Float64Array, size: number, mean: number) => {
		let sum = 0;
		for (let i = 0; i < size; i++) sum += matrix[i * size + i]!;
		return (sum - size * mean) / (size - 1);
	};
	const rows = new Float64Array(n);
	const columns = new Float64Array(picked);
	for (let at = 0; at < cross.length; at++) {
		rows[Math.floor(at / picked)]! += cross[at]! / picked;
		columns[at % picked]! += cross[at]! / n;
	}
	const scale = 1 / Math.sqrt((n - 1) * (picked - 1));
	const centered = cross.map(
		(value, at) => (value - rows[Math.floor(at / picked)]! - columns[at % picked]! + meanCross) * scale,
	);
	const traceSqrt = singularValues(centered, picked).reduce((sum, value) => sum + value, 0);
	return meanReal + meanOwn - 2 * meanCross + trace(real, n, meanReal) + trace(own, picked, meanOwn) - 2 * traceSqrt;
}

/** A maximum mean discrepancy from kernel values [n, n], [n, m] and [m, m], with the generated pictures of these indices. */
export class ResampledKernel {
	private readonly within: number;

	/** @param biased whether a picture's kernel with itself counts */
	constructor(
		private readonly n: number,
		private readonly m: number,
		real: Float64Array,
		private readonly between: Float64Array,
		private readonly generated: Float64Array,
		private readonly biased: boolean,
	) {
		let sum = 0;
		for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) if (biased || i !== j) sum += real[i * n + j]!;
		this.within = sum / (biased ? n * n : n * (n - 1));
	}

	distance(indices: Int32Array): number {
		const { n, m, generated, between, biased } = this;
		let [own, pairs, cross] = [0, 0, 0];
		for (const j of indices) {
			for (let i = 0; i < n; i++) cross += between[i * m + j]!;
			for (const k of indices) {
				// A picture that was drawn twice is no pair.
				if (!biased && j === k) continue;
				own += generated[j * m + k]!;
				pairs++;
			}
		}
		return this.within + own / Math.max(1, pairs) - (2 * cross) / (n * indices.length);
	}
}

/** The Vendi score of the pictures of these indices, from cosines [m, m]. */
export function resampledVendi(cosines: Float64Array, m: number, indices: Int32Array): number {
	const picked = indices.length;
	const matrix = new Float64Array(picked * picked);
	for (let i = 0; i < picked; i++)
		for (let j = 0; j < picked; j++) matrix[i * picked + j] = cosines[indices[i]! * m + indices[j]!]! / picked;
	let entropy = 0;
	for (const value of symmetricEigenvalues(matrix, picked)) if (value > 0) entropy -= value * Math.log(value);
	return Math.exp(entropy);
}

/** Mean over pairs of different pictures of these indices, from a matrix [m, m]. */
export function resampledPairs(matrix: Float64Array, m: number, indices: Int32Array): number {
	let [sum, pairs] = [0, 0];
	for (const i of indices)
		for (const j of indices)
			if (i !== j) {
				sum += matrix[i * m + j]!;
				pairs++;
			}
	return sum / Math.max(1, pairs);
}
