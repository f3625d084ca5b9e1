// Maximum mean discrepancies: KID (Bińkowski et al. 2018) and CMMD (Jayasumana et al. 2024).
import { ArgumentError } from "@dreamdist/core";
import { checkPair, type FeatureSet, normalizedRows, pickRows } from "../features/feature-set.js";
import { eachRowOfProducts } from "../linear-algebra/products.js";

/**
 * KID's unbiased estimate over all pictures: kernel (x·y / width + 1)³, a picture's kernel with itself left out. It may be negative.
 *
 * @throws ArgumentError for fewer than two pictures
 */
export function kernelDistance(real: FeatureSet, generated: FeatureSet): number {
	checkPair("the kernel distance", real, generated, 2);
	const { width } = real;
	const kernel = (product: number) => (product / width + 1) ** 3;
	const within = (set: FeatureSet) => {
		let sum = 0;
		eachRowOfProducts(set.data, set.data, width, (i, row) => {
			for (let j = 0; j < set.rows; j++) if (i !== j) sum += kernel(row[j]!);
		});
		return sum / (set.rows * (set.rows - 1));
	};
	let between = 0;
	eachRowOfProducts(real.data, generated.data, width, (_, row) => {
		for (const product of row) between += kernel(product);
	});
	return within(real) + within(generated) - (2 * between) / (real.rows * generated.rows);
}

export interface SubsetDistances {
	readonly mean: number;
	/** Over the subsets, divided by their number. */
	readonly std: number;
}

/**
 * KID as it is usually reported: the mean over subsets, each row of indices one subset.
 *
 * @param indices of `size` members per subset, [subsets, size] of either set
 */
export function kernelDistanceOfSubsets(
	real: FeatureSet,
	generated: FeatureSet,
	indices: { readonly real: ArrayLike<number>; readonly generated: ArrayLike<number>; readonly size: number },
): SubsetDistances {
	const subsets = indices.real.length / indices.size;
	if (!Number.isInteger(subsets) || subsets < 1 || indices.generated.length !== indices.real.length)
		throw new ArgumentError(`KID's subsets: ${indices.real.length} members do not make subsets of ${indices.size}`);
	const part = (list: ArrayLike<number>, subset: number) =>
		Array.from({ length: indices.size }, (_, i) => list[subset * indices.size + i]!);
	const values = Array.from({ length: subsets }, (_, subset) =>
		kernelDistance(pickRows(real, part(indices.real, subset)), pickRows(generated, part(indices.generated, subset))),
	);
	const mean = values.reduce((sum, value) => sum + value, 0) / subsets;
	return { mean, std: Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / subsets) };
}

/** Of CMMD's Gaussian kernel exp(−|x − y|² / 2σ²). */
const SIGMA = 10;
const CMMD_SCALE = 1000;

/**
 * CMMD: 1000 times the biased estimate with a Gaussian kernel, over rows of unit length.
 *
 * @param options normalize: bring rows to unit length first; default true
 */
export function gaussianDistance(
	real: FeatureSet,
	generated: FeatureSet,
	{ normalize = true }: { normalize?: boolean } = {},
): number {
	checkPair("CMMD", real, generated);
	const [a, b] = normalize ? [normalizedRows(real), normalizedRows(generated)] : [real, generated];
	const mean = (x: FeatureSet, y: FeatureSet) => {
		const [left, right] = [squaredLengths(x), squaredLengths(y)];
		let sum = 0;
		eachRowOfProducts(x.data, y.data, x.width, (i, row) => {
			for (let j = 0; j < y.rows; j++)
				sum += Math.exp(-Math.max(0, left[i]! + right[j]! - 2 * row[j]!) / (2 * SIGMA * SIGMA));
		});
		return sum / (x.rows * y.rows);
	};
	return CMMD_SCALE * (mean(a, a) + mean(b, b) - 2 * mean(a, b));
}

/** |x|² of every row. */
export function squaredLengths({ rows, width, data }: FeatureSet): Float64Array {
	const out = new Float64Array(rows);
	for (let i = 0; i < data.length; i++) out[Math.floor(i / width)]! += data[i]! ** 2;
	return out;
}
