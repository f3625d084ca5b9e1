// The Fréchet distance between two sets of features, each taken for a normal distribution (Heusel et al. 2017).
import { checkPair, type FeatureSet } from "../features/feature-set.js";
import { rowProducts, transposed } from "../linear-algebra/products.js";
import { choleskyFactor, singularValues } from "../linear-algebra/spectrum.js";

export interface FrechetDistance {
	/** |μ₁ − μ₂|² + tr Σ₁ + tr Σ₂ − 2 tr (Σ₁Σ₂)^½ */
	readonly distance: number;
	/** |μ₁ − μ₂|² */
	readonly meanTerm: number;
	/** tr (Σ₁Σ₂)^½ */
	readonly traceSqrt: number;
}

/** A normal distribution: its mean, and F with Fᵀ·F = Σ, of no more rows than it needs. */
interface Moments {
	readonly mean: Float64Array;
	/** tr Σ */
	readonly trace: number;
	/** [rows, width] */
	readonly factor: Float64Array;
}

/**
 * tr (Σ₁Σ₂)^½ is the sum of the singular values of F₁F₂ᵀ, where FᵢᵀFᵢ = Σᵢ. That is exact for singular covariances (fewer pictures than
 * features), for which the square root of their product is mostly rounding. Covariances are divided by n − 1; double precision throughout.
 *
 * @throws ArgumentError for fewer than two pictures, or features of different widths
 */
export function frechetDistance(real: FeatureSet, generated: FeatureSet): FrechetDistance {
	checkPair("the Fréchet distance", real, generated, 2);
	const [a, b] = [moments(real), moments(generated)];
	let meanTerm = 0;
	for (let k = 0; k < real.width; k++) meanTerm += (a.mean[k]! - b.mean[k]!) ** 2;
	const products = rowProducts(a.factor, b.factor, real.width);
	const traceSqrt = singularValues(products, b.factor.length / real.width).reduce((sum, value) => sum + value, 0);
	return { distance: meanTerm + a.trace + b.trace - 2 * traceSqrt, meanTerm, traceSqrt };
}

function moments({ rows, width, data }: FeatureSet): Moments {
	const mean = new Float64Array(width);
	for (let row = 0; row < rows; row++) for (let k = 0; k < width; k++) mean[k]! += data[row * width + k]! / rows;
	const scale = 1 / Math.sqrt(rows - 1);
	const centered = new Float64Array(data.length);
	let trace = 0;
	for (let i = 0; i < data.length; i++) {
		centered[i] = (data[i]! - mean[i % width]!) * scale;
		trace += centered[i]! ** 2;
	}
	// Few pictures are their own factor; of many, the covariance has one of as many rows as there are features.
	if (rows <= width) return { mean, trace, factor: centered };
	const columns = transposed(centered, width);
	return { mean, trace, factor: transposed(choleskyFactor(rowProducts(columns, columns, rows), width), width) };
}
