/**
 * The 16-bit float formats: IEEE binary16 (`F16`: 5 exponent bits, 10 fraction bits) and bfloat16 (`BF16`: the upper half
 * of a binary32). Rounding is to nearest, ties to even, in one step; subnormals are kept; what exceeds the largest finite
 * value by half a unit or more becomes infinite; a NaN stays a (quiet) NaN with its sign.
 */

const float64 = new Float64Array(1);
const words = new Uint32Array(float64.buffer);
/** Index of the word with sign and exponent of `float64[0]`. */
const HIGH = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1 ? 1 : 0;

/**
 * Rounds a double to a binary format with `fraction` stored bits and least normal exponent `minExponent`.
 * Adding and subtracting 1.5·2^k makes the addition itself round to multiples of 2^(k-52), ties to even; the spacing is
 * chosen as that of the format at `x`.
 */
function roundTo(x: number, fraction: number, minExponent: number, largest: number): number {
	// Far outside the format, where the constant below would itself overflow.
	if (Math.abs(x) > 2 * largest) return x > 0 ? Infinity : -Infinity;
	float64[0] = x;
	const biased = (words[HIGH]! >>> 20) & 0x7ff;
	if (biased === 0x7ff) return x;
	const exponent = Math.max(biased - 1023, minExponent);
	float64[0] = 0;
	words[HIGH] = ((exponent - fraction + 52 + 1023) << 20) | 0x80000;
	const magic = float64[0];
	const rounded = x + magic - magic;
	if (Math.abs(rounded) > largest) return rounded > 0 ? Infinity : -Infinity;
	// The subtraction loses the sign of a zero.
	return rounded === 0 && (x < 0 || Object.is(x, -0)) ? -0 : rounded;
}

/** The binary16 value nearest to a double, as a number. */
export function roundF16(x: number): number {
	return roundTo(x, 10, -14, 65504);
}

/** The bfloat16 value nearest to a double, as a number. */
export function roundBf16(x: number): number {
	return roundTo(x, 7, -126, 3.3895313892515355e38);
}

const float32 = new Float32Array(1);
const bits32 = new Uint32Array(float32.buffer);

/** The bits of the binary16 nearest to a double. */
export function f16Bits(x: number): number {
	// A double that was rounded to binary16 is exact in binary32, so this second encoding rounds nothing.
	float32[0] = roundF16(x);
	return f16FromF32Bits(bits32[0]!);
}

/** The bits of the bfloat16 nearest to a double. */
export function bf16Bits(x: number): number {
	float32[0] = roundBf16(x);
	return bf16FromF32Bits(bits32[0]!);
}

/** The number that 16 bits stand for as binary16. */
export function f16FromBits(bits: number): number {
	bits32[0] = f16ToF32Bits(bits);
	return float32[0]!;
}

/** The number that 16 bits stand for as bfloat16. */
export function bf16FromBits(bits: number): number {
	bits32[0] = bits << 16;
	return float32[0]!;
}

/**
 * Decodes binary16 bits to float32, exactly.
 *
 * @param out receives the result, at least as long as `bits`; a new array when left out
 */
export function decodeF16(bits: Uint16Array): Float32Array<ArrayBuffer>;
export function decodeF16<T extends Float32Array>(bits: Uint16Array, out: T): T;
export function decodeF16(bits: Uint16Array, out: Float32Array = new Float32Array(bits.length)): Float32Array {
	const table = f16Table();
	const target = new Uint32Array(out.buffer, out.byteOffset, out.length);
	for (let i = 0; i < bits.length; i++) target[i] = table[bits[i]!]!;
	return out;
}

/** Decodes bfloat16 bits to float32, exactly; `out` as in `decodeF16`. */
export function decodeBf16(bits: Uint16Array): Float32Array<ArrayBuffer>;
export function decodeBf16<T extends Float32Array>(bits: Uint16Array, out: T): T;
export function decodeBf16(bits: Uint16Array, out: Float32Array = new Float32Array(bits.length)): Float32Array {
	const target = new Uint32Array(out.buffer, out.byteOffset, out.length);
	for (let i = 0; i < bits.length; i++) target[i] = bits[i]! << 16;
	return out;
}

/** Encodes float32 values as binary16 bits, rounding to nearest even; `out` as in `decodeF16`. */
export function encodeF16(values: Float32Array): Uint16Array<ArrayBuffer>;
export function encodeF16<T extends Uint16Array>(values: Float32Array, out: T): T;
export function encodeF16(values: Float32Array, out: Uint16Array = new Uint16Array(values.length)): Uint16Array {
	const source = new Uint32Array(values.buffer, values.byteOffset, values.length);
	for (let i = 0; i < source.length; i++) out[i] = f16FromF32Bits(source[i]!);
	return out;
}

/** Encodes float32 values as bfloat16 bits, rounding to nearest even; `out` as in `decodeF16`. */
export function encodeBf16(values: Float32Array): Uint16Array<ArrayBuffer>;
export function encodeBf16<T extends Uint16Array>(values: Float32Array, out: T): T;
export function encodeBf16(values: Float32Array, out: Uint16Array = new Uint16Array(values.length)): Uint16Array {
	const source = new Uint32Array(values.buffer, values.byteOffset, values.length);
	for (let i = 0; i < source.length; i++) out[i] = bf16FromF32Bits(source[i]!);
	return out;
}

function f16FromF32Bits(bits: number): number {
	const sign = (bits >>> 16) & 0x8000;
	const magnitude = bits & 0x7fffffff;
	// Infinity, or NaN with the upper payload bits and the quiet bit set.
	if (magnitude >= 0x7f800000)
		return magnitude === 0x7f800000 ? sign | 0x7c00 : sign | 0x7e00 | ((bits >>> 13) & 0x1ff);
	// From 65520 on, half a unit above the largest finite value.
	if (magnitude >= 0x477ff000) return sign | 0x7c00;
	// Normal: rebias the exponent (127 - 15 = 112) and round 13 bits away; a carry moves into the exponent as it should.
	if (magnitude >= 0x38800000) return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
	// At most half of the smallest subnormal.
	if (magnitude <= 0x33000000) return sign;
	// Subnormal: shift the significand (with its leading one) so that a unit is 2^-24.
	const shift = 126 - (magnitude >>> 23);
	const significand = (magnitude & 0x7fffff) | 0x800000;
	const half = (1 << (shift - 1)) - 1;
	return sign | ((significand + half + ((significand >>> shift) & 1)) >>> shift);
}

function bf16FromF32Bits(bits: number): number {
	if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
	return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

function f16ToF32Bits(bits: number): number {
	const sign = (bits & 0x8000) << 16;
	const exponent = (bits >>> 10) & 0x1f;
	const fraction = bits & 0x3ff;
	if (exponent === 31) return sign | 0x7f800000 | (fraction << 13);
	if (exponent !== 0) return sign | ((exponent + 112) << 23) | (fraction << 13);
	if (fraction === 0) return sign;
	// Subnormal: move the leading one to the implied position, 2^-24 times the fraction.
	const shift = Math.clz32(fraction) - 21;
	return sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13);
}

let table: Uint32Array | undefined;

/** binary32 bits of all 65,536 binary16 values (256 KiB), made at first use. */
function f16Table(): Uint32Array {
	if (table === undefined) {
		table = new Uint32Array(65536);
		for (let i = 0; i < 65536; i++) table[i] = f16ToF32Bits(i);
	}
	return table;
}
