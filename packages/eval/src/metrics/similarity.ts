// Cosines between pictures, and how many kinds of pictures there are.
import { checkPair, type FeatureSet, normalizedRows } from "../features/feature-set.js";
import { eachRowOfProducts, rowProducts, transposed } from "../linear-algebra/products.js";
import { symmetricEigenvalues } from "../linear-algebra/spectrum.js";

/** How generated pictures stand to the real ones, by cosine. */
export interface Likeness {
	/** Mean over all real pictures, per generated picture. */
	readonly mean: Float64Array;
	/** To the nearest real picture, per generated picture. */
	readonly nearest: Float64Array;
	/** Which real picture that is. */
	readonly nearestIndex: Int32Array;
}

export function likeness(real: FeatureSet, generated: FeatureSet): Likeness {
	checkPair("cosine similarity", real, generated);
	const mean = new Float64Array(generated.rows);
	const nearest = new Float64Array(generated.rows);
	const nearestIndex = new Int32Array(generated.rows);
	eachRowOfProducts(normalizedRows(generated).data, normalizedRows(real).data, real.width, (j, row) => {
		let best = 0;
		let sum = 0;
		for (let i = 0; i < row.length; i++) {
			sum += row[i]!;
			if (row[i]! > row[best]!) best = i;
		}
		mean[j] = sum / row.length;
		nearest[j] = row[best]!;
		nearestIndex[j] = best;
	});
	return { mean, nearest, nearestIndex };
}

/** Mean cosine over pairs of different pictures of one set; NaN of a single picture. */
export function selfLikeness(set: FeatureSet): number {
	// Of all pairs, from the sum of the unit rows; each row with itself gives 1, or 0 where it is empty.
	const { data, rows, width } = normalizedRows(set);
	const total = new Float64Array(width);
	for (let i = 0; i < data.length; i++) total[i % width]! += data[i]!;
	const all = total.reduce((sum, value) => sum + value * value, 0);
	let own = 0;
	for (const value of data) own += value * value;
	return (all - own) / (rows * (rows - 1));
}

/**
 * The Vendi score (Friedman and Dieng 2023): the exponential of the entropy of the eigenvalues of the cosines divided by n. It reads as a
 * number of different pictures, from 1 to n.
 */
export function vendiScore(set: FeatureSet): number {
	const rows = Float64Array.from(normalizedRows(set).data);
	// X·Xᵀ and Xᵀ·X have the same eigenvalues but for zeros, which add nothing; the smaller one is taken.
	const [factor, length] = set.rows <= set.width ? [rows, set.width] : [transposed(rows, set.width), set.rows];
	const similarities = rowProducts(factor, factor, length).map((cosine) => cosine / set.rows);
	let entropy = 0;
	for (const value of symmetricEigenvalues(similarities, Math.min(set.rows, set.width)))
		if (value > 0) entropy -= value * Math.log(value);
	return Math.exp(entropy);
}
