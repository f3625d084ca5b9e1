// Eigenvalues of symmetric matrices and singular values of any, in double precision, without vectors.
import { transposed } from "./products.js";

/**
 * Eigenvalues of a symmetric tridiagonal matrix, by implicit QL with Wilkinson's shifts. Both arguments are overwritten.
 *
 * @param diagonal [n]; holds the eigenvalues afterwards, in no order
 * @param beside [n]; element i is between rows i and i + 1, the last is not read
 */
function tridiagonalEigenvalues(diagonal: Float64Array, beside: Float64Array): Float64Array {
	const n = diagonal.length;
	let scale = 0;
	for (let i = 0; i < n; i++) scale = Math.max(scale, Math.abs(diagonal[i]!) + (i + 1 < n ? Math.abs(beside[i]!) : 0));
	if (n > 0) beside[n - 1] = 0;
	for (let l = 0; l < n; l++)
		for (let iteration = 0; ; iteration++) {
			let m = l;
			// An element is zero when it is lost beside its neighbours, or beside the largest: no eigenvalue moves by more than its rounding.
			while (m < n - 1) {
				const near = Math.abs(diagonal[m]!) + Math.abs(diagonal[m + 1]!);
				const size = Math.abs(beside[m]!);
				if (size <= Number.EPSILON * near || size <= 1e-3 * Number.EPSILON * scale) break;
				m++;
			}
			if (m === l) break;
			if (iteration === 300) throw new Error("the eigenvalues of a matrix did not converge; does it hold NaN?");
			let g = (diagonal[l + 1]! - diagonal[l]!) / (2 * beside[l]!);
			let r = Math.hypot(g, 1);
			g = diagonal[m]! - diagonal[l]! + beside[l]! / (g + (g >= 0 ? r : -r));
			let [s, c, p] = [1, 1, 0];
			let i = m - 1;
			for (; i >= l; i--) {
				const f = s * beside[i]!;
				const b = c * beside[i]!;
				r = Math.hypot(f, g);
				beside[i + 1] = r;
				if (r === 0) {
					diagonal[i + 1]! -= p;
					beside[m] = 0;
					break;
				}
				s = f / r;
				c = g / r;
				g = diagonal[i + 1]! - p;
				r = (diagonal[i]! - g) * s + 2 * c * b;
				p = s * r;
				diagonal[i + 1] = g + p;
				g = c * r - b;
			}
			if (r === 0 && i >= l) continue;
			diagonal[l]! -= p;
			beside[l] = g;
			beside[m] = 0;
		}
	return diagonal;
}

/**
 * Eigenvalues of a symmetric matrix [n, n], in ascending order: Householder's reflections to a tridiagonal one, then QL.
 */
export function symmetricEigenvalues(matrix: Float64Array, n: number): Float64Array {
	const a = matrix.slice();
	const diagonal = new Float64Array(n);
	const beside = new Float64Array(n);
	const vector = new Float64Array(n);
	const image = new Float64Array(n);
	for (let k = 0; k < n - 1; k++) {
		diagonal[k] = a[k * n + k]!;
		const { beta, norm } = reflector(a, k * n + k + 1, n - k - 1, vector);
		beside[k] = norm;
		if (beta === 0) continue;
		// A ← H A H on the part below and right of k, with H = 1 − β v vᵀ.
		const from = k + 1;
		let along = 0;
		for (let i = from; i < n; i++) {
			let sum = 0;
			for (let j = from; j < n; j++) sum += a[i * n + j]! * vector[j - from]!;
			image[i] = beta * sum;
			along += image[i]! * vector[i - from]!;
		}
		const half = (beta * along) / 2;
		for (let i = from; i < n; i++) image[i]! -= half * vector[i - from]!;
		for (let i = from; i < n; i++) {
			const [x, y] = [vector[i - from]!, image[i]!];
			for (let j = from; j < n; j++) a[i * n + j]! -= x * image[j]! + y * vector[j - from]!;
		}
	}
	if (n > 0) diagonal[n - 1] = a[n * n - 1]!;
	return tridiagonalEigenvalues(diagonal, beside).sort();
}

/**
 * The reflection 1 − β v vᵀ that turns numbers into (norm, 0, 0, …). Signs are chosen so that nothing cancels.
 *
 * @param into takes v
 */
function reflector(
	data: Float64Array,
	start: number,
	length: number,
	into: Float64Array,
): { beta: number; norm: number } {
	let tail = 0;
	for (let i = 1; i < length; i++) tail += data[start + i]! ** 2;
	const first = data[start]!;
	if (tail === 0) return { beta: 0, norm: first };
	const norm = first > 0 ? -Math.sqrt(first * first + tail) : Math.sqrt(first * first + tail);
	for (let i = 1; i < length; i++) into[i] = data[start + i]!;
	into[0] = first - norm;
	return { beta: 2 / (into[0]! ** 2 + tail), norm };
}

/**
 * Singular values of a matrix [rows, columns], in descending order: Householder's reflections from both sides to a bidiagonal one, whose
 * singular values are the positive eigenvalues of a tridiagonal matrix of twice the size (Golub and Kahan). Small values are as exact,
 * absolutely, as large ones: no square of the matrix is formed.
 */
export function singularValues(matrix: Float64Array, columns: number): Float64Array {
	const height = matrix.length / columns;
	const [a, m, n] =
		height >= columns ? [matrix.slice(), height, columns] : [transposed(matrix, columns), columns, height];
	const size = Math.min(m, n);
	const beside = new Float64Array(2 * size);
	const column = new Float64Array(m);
	const vector = new Float64Array(Math.max(m, n));
	const sums = new Float64Array(n);
	for (let k = 0; k < size; k++) {
		for (let i = k; i < m; i++) column[i - k] = a[i * n + k]!;
		const left = reflector(column, 0, m - k, vector);
		beside[2 * k] = left.norm;
		if (left.beta !== 0) {
			sums.fill(0, k + 1);
			for (let i = k; i < m; i++) {
				const x = vector[i - k]!;
				for (let j = k + 1; j < n; j++) sums[j]! += x * a[i * n + j]!;
			}
			for (let i = k; i < m; i++) {
				const x = left.beta * vector[i - k]!;
				for (let j = k + 1; j < n; j++) a[i * n + j]! -= x * sums[j]!;
			}
		}
		if (k + 1 >= n) continue;
		const right = reflector(a, k * n + k + 1, n - k - 1, vector);
		beside[2 * k + 1] = right.norm;
		if (right.beta === 0) continue;
		for (let i = k + 1; i < m; i++) {
			let sum = 0;
			for (let j = k + 1; j < n; j++) sum += a[i * n + j]! * vector[j - k - 1]!;
			sum *= right.beta;
			for (let j = k + 1; j < n; j++) a[i * n + j]! -= sum * vector[j - k - 1]!;
		}
	}
	const values = tridiagonalEigenvalues(new Float64Array(2 * size), beside).sort();
	return values.slice(size).reverse().map(Math.abs);
}

/**
 * L with L·Lᵀ = A for a symmetric matrix without negative eigenvalues. A pivot that is lost in rounding leaves an empty column.
 *
 * @returns [n, n], lower triangular
 */
export function choleskyFactor(matrix: Float64Array, n: number): Float64Array {
	const l = matrix.slice();
	let largest = 0;
	for (let i = 0; i < n; i++) largest = Math.max(largest, matrix[i * n + i]!);
	const tolerance = n * Number.EPSILON * largest;
	for (let i = 0; i < n; i++)
		for (let j = 0; j < n; j++) {
			if (j > i) {
				l[i * n + j] = 0;
				continue;
			}
			let sum = l[i * n + j]!;
			for (let k = 0; k < j; k++) sum -= l[i * n + k]! * l[j * n + k]!;
			if (i === j) l[i * n + j] = sum > tolerance ? Math.sqrt(sum) : 0;
			else l[i * n + j] = l[j * n + j] === 0 ? 0 : sum / l[j * n + j]!;
		}
	return l;
}
