// Products of matrices in double precision, rows times rows. All matrices are row-major.

type Numbers = Float32Array | Float64Array;

/** Rows that one pass of the innermost loop takes of either matrix. */
const TILE = 4;

/**
 * Rows in groups of four, the four numbers of one column side by side, so that the innermost loop reads memory in order.
 *
 * @returns [⌈rows / 4⌉, width, 4], zeros after the last row
 */
function tiled(matrix: Numbers, width: number): Float64Array {
	const rows = matrix.length / width;
	const out = new Float64Array(Math.ceil(rows / TILE) * TILE * width);
	for (let row = 0; row < rows; row++) {
		const start = Math.floor(row / TILE) * TILE * width + (row % TILE);
		for (let k = 0; k < width; k++) out[start + k * TILE] = matrix[row * width + k]!;
	}
	return out;
}

/** Sixteen inner products: rows of one group of a with rows of one group of b, into `out` [4, 4]. */
function tileProducts(
	a: Float64Array,
	at: number,
	b: Float64Array,
	bt: number,
	width: number,
	out: Float64Array,
): void {
	let s00 = 0;
	let s01 = 0;
	let s02 = 0;
	let s03 = 0;
	let s10 = 0;
	let s11 = 0;
	let s12 = 0;
	let s13 = 0;
	let s20 = 0;
	let s21 = 0;
	let s22 = 0;
	let s23 = 0;
	let s30 = 0;
	let s31 = 0;
	let s32 = 0;
	let s33 = 0;
	for (let k = 0, i = at, j = bt; k < width; k++, i += TILE, j += TILE) {
		const b0 = b[j]!;
		const b1 = b[j + 1]!;
		const b2 = b[j + 2]!;
		const b3 = b[j + 3]!;
		const a0 = a[i]!;
		s00 += a0 * b0;
		s01 += a0 * b1;
		s02 += a0 * b2;
		s03 += a0 * b3;
		const a1 = a[i + 1]!;
		s10 += a1 * b0;
		s11 += a1 * b1;
		s12 += a1 * b2;
		s13 += a1 * b3;
		const a2 = a[i + 2]!;
		s20 += a2 * b0;
		s21 += a2 * b1;
		s22 += a2 * b2;
		s23 += a2 * b3;
		const a3 = a[i + 3]!;
		s30 += a3 * b0;
		s31 += a3 * b1;
		s32 += a3 * b2;
		s33 += a3 * b3;
	}
	out[0] = s00;
	out[1] = s01;
	out[2] = s02;
	out[3] = s03;
	out[4] = s10;
	out[5] = s11;
	out[6] = s12;
	out[7] = s13;
	out[8] = s20;
	out[9] = s21;
	out[10] = s22;
	out[11] = s23;
	out[12] = s30;
	out[13] = s31;
	out[14] = s32;
	out[15] = s33;
}

/** Groups of a's rows that stay in cache while all of b passes. */
const HELD_GROUPS = 8;

/** The same as `rowProducts`, of matrices that are in groups already. Of a matrix with itself one half is computed, and is the other's too. */
function tiledProducts(a: Float64Array, n: number, b: Float64Array, m: number, width: number): Float64Array {
	const out = new Float64Array(n * m);
	const tile = new Float64Array(TILE * TILE);
	const held = HELD_GROUPS * TILE;
	const symmetric = a === b;
	for (let block = 0; block < n; block += held)
		for (let j = symmetric ? block : 0; j < m; j += TILE)
			for (let i = block; i < Math.min(n, block + held); i += TILE) {
				if (symmetric && i > j) continue;
				tileProducts(a, i * width, b, j * width, width, tile);
				for (let r = 0; r < TILE && i + r < n; r++)
					for (let c = 0; c < TILE && j + c < m; c++) {
						const product = tile[r * TILE + c]!;
						out[(i + r) * m + j + c] = product;
						if (symmetric) out[(j + c) * m + i + r] = product;
					}
			}
	return out;
}

/**
 * Inner products of all rows of a [n, width] with all of b [m, width].
 *
 * @returns [n, m]
 */
export function rowProducts(a: Numbers, b: Numbers, width: number): Float64Array {
	const left = tiled(a, width);
	return tiledProducts(left, a.length / width, a === b ? left : tiled(b, width), b.length / width, width);
}

/** Rows of a product that are held at once. */
const HELD_ROWS = 256;

/** The same products some rows of `a` at a time, for sets whose whole product would not fit: `visit(i, products of row i [m])` in order. */
export function eachRowOfProducts(
	a: Numbers,
	b: Numbers,
	width: number,
	visit: (row: number, products: Float64Array) => void,
): void {
	const n = a.length / width;
	const m = b.length / width;
	const right = tiled(b, width);
	for (let first = 0; first < n; first += HELD_ROWS) {
		const last = Math.min(n, first + HELD_ROWS);
		const left = tiled(a.subarray(first * width, last * width), width);
		const products = tiledProducts(left, last - first, right, m, width);
		for (let row = first; row < last; row++) visit(row, products.subarray((row - first) * m, (row - first + 1) * m));
	}
}

/** [n, m] → [m, n] */
export function transposed(matrix: Float64Array, columns: number): Float64Array {
	const rows = matrix.length / columns;
	const out = new Float64Array(matrix.length);
	for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = matrix[i * columns + j]!;
	return out;
}
