// The Fréchet distance between two sets of features, each taken for a normal distribution (Heusel et al. 2017).
import { ArgumentError } from "@dreamdist/core";

interface Moments {
	readonly mean: Float64Array;
	/** [width, width], unbiased. */
	readonly covariance: Float64Array;
}

/**
 * |μ₁ − μ₂|² + tr Σ₁ + tr Σ₂ − 2 tr (Σ₁Σ₂)^½, in double precision.
 *
 * @param a [n, width] row-major, n ≥ 2
 * @param b [m, width]
 */
export function frechetDistance(a: ArrayLike<number>, b: ArrayLike<number>, width: number): number {
	const [first, second] = [moments(a, width), moments(b, width)];
	let distance = 0;
	for (let i = 0; i < width; i++) {
		distance += (first.mean[i]! - second.mean[i]!) ** 2;
		distance += first.covariance[i * width + i]! + second.covariance[i * width + i]!;
	}
	// tr (Σ₁Σ₂)^½ = tr (R Σ₂ R)^½ with R = Σ₁^½, which is symmetric.
	const root = squareRoot(first.covariance, width);
	const product = multiply(multiply(root, second.covariance, width), root, width);
	for (const value of eigen(product, width).values) distance -= 2 * Math.sqrt(Math.max(0, value));
	return distance;
}

function moments(features: ArrayLike<number>, width: number): Moments {
	const rows = features.length / width;
	if (!Number.isInteger(rows) || rows < 2)
		throw new ArgumentError(
			`a Fréchet distance needs two rows of ${width} features or more, not ${features.length} numbers`,
		);
	const mean = new Float64Array(width);
	for (let i = 0; i < features.length; i++) mean[i % width]! += features[i]! / rows;
	const covariance = new Float64Array(width * width);
	for (let row = 0; row < rows; row++)
		for (let i = 0; i < width; i++) {
			const centered = features[row * width + i]! - mean[i]!;
			for (let j = 0; j <= i; j++)
				covariance[i * width + j]! += (centered * (features[row * width + j]! - mean[j]!)) / (rows - 1);
		}
	for (let i = 0; i < width; i++) for (let j = 0; j < i; j++) covariance[j * width + i] = covariance[i * width + j]!;
	return { mean, covariance };
}

function multiply(a: Float64Array, b: Float64Array, n: number): Float64Array {
	const out = new Float64Array(n * n);
	for (let i = 0; i < n; i++)
		for (let k = 0; k < n; k++) {
			const value = a[i * n + k]!;
			for (let j = 0; j < n; j++) out[i * n + j]! += value * b[k * n + j]!;
		}
	return out;
}

/** Of a symmetric matrix without negative eigenvalues, but for rounding. */
function squareRoot(matrix: Float64Array, n: number): Float64Array {
	const { values, vectors } = eigen(matrix, n);
	const out = new Float64Array(n * n);
	for (let k = 0; k < n; k++) {
		const root = Math.sqrt(Math.max(0, values[k]!));
		for (let i = 0; i < n; i++)
			for (let j = 0; j < n; j++) out[i * n + j]! += root * vectors[i * n + k]! * vectors[j * n + k]!;
	}
	return out;
}

/** Sweeps that never come up: convergence is quadratic, and 10 are plenty. */
const MOST_SWEEPS = 60;

/** Eigenvalues and the columns of eigenvectors of a symmetric matrix, by Jacobi's rotations. */
function eigen(matrix: Float64Array, n: number): { values: Float64Array; vectors: Float64Array } {
	const a = matrix.slice();
	const vectors = new Float64Array(n * n);
	for (let i = 0; i < n; i++) vectors[i * n + i] = 1;
	const size = Math.sqrt(a.reduce((sum, v) => sum + v * v, 0));
	for (let sweep = 0; sweep < MOST_SWEEPS; sweep++) {
		let off = 0;
		for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) off += 2 * a[i * n + j]! ** 2;
		if (Math.sqrt(off) <= 1e-14 * size) break;
		for (let p = 0; p < n; p++)
			for (let q = p + 1; q < n; q++) {
				const apq = a[p * n + q]!;
				if (apq === 0) continue;
				const theta = (a[q * n + q]! - a[p * n + p]!) / (2 * apq);
				const t = (theta >= 0 ? 1 : -1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
				const c = 1 / Math.sqrt(t * t + 1);
				rotate(a, vectors, n, p, q, c, t * c);
			}
	}
	return { values: Float64Array.from({ length: n }, (_, i) => a[i * n + i]!), vectors };
}

function rotate(a: Float64Array, vectors: Float64Array, n: number, p: number, q: number, c: number, s: number): void {
	const turn = (m: Float64Array, i: number, j: number) => {
		const [x, y] = [m[i]!, m[j]!];
		m[i] = c * x - s * y;
		m[j] = s * x + c * y;
	};
	for (let k = 0; k < n; k++) turn(a, k * n + p, k * n + q);
	for (let k = 0; k < n; k++) turn(a, p * n + k, q * n + k);
	for (let k = 0; k < n; k++) turn(vectors, k * n + p, k * n + q);
}
