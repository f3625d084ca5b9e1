import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
	bf16Bits,
	bf16FromBits,
	decodeBf16,
	decodeF16,
	encodeBf16,
	encodeF16,
	f16Bits,
	f16FromBits,
	roundBf16,
	roundF16,
} from "../../src/data/half.js";

const formats = [
	{
		name: "F16",
		fraction: 10,
		exponents: 5,
		bits: f16Bits,
		fromBits: f16FromBits,
		round: roundF16,
		encode: encodeF16,
		decode: decodeF16,
	},
	{
		name: "BF16",
		fraction: 7,
		exponents: 8,
		bits: bf16Bits,
		fromBits: bf16FromBits,
		round: roundBf16,
		encode: encodeBf16,
		decode: decodeBf16,
	},
];

describe.each(formats)("$name", ({ fraction, exponents, bits, fromBits, round, encode, decode }) => {
	const bias = 2 ** (exponents - 1) - 1;
	/** The value of 16 bits straight from the definition of the format. */
	function value(code: number): number {
		const sign = code & 0x8000 ? -1 : 1;
		const exponent = (code >>> fraction) & (2 ** exponents - 1);
		const significand = code & (2 ** fraction - 1);
		if (exponent === 2 ** exponents - 1) return significand ? Number.NaN : sign * Infinity;
		if (exponent === 0) return sign * significand * 2 ** (1 - bias - fraction);
		return sign * (2 ** fraction + significand) * 2 ** (exponent - bias - fraction);
	}
	const infinity = (2 ** exponents - 1) << fraction;

	test("decodes every code as the format defines it", () => {
		const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
		const decoded = decode(all);
		const wrong = all.filter((c) => !Object.is(decoded[c], value(c)) || !Object.is(fromBits(c), value(c)));
		expect([...wrong]).toEqual([]);
	});

	test("decoding and encoding again gives every code back, NaN payloads included", () => {
		const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
		const quiet = 1 << (fraction - 1);
		const again = encode(decode(all));
		const wrong = all.filter((c) => again[c] !== ((c & 0x7fff) > infinity ? c | quiet : c));
		expect([...wrong]).toEqual([]);
	});

	test("every midpoint goes to the even neighbour, and the doubles beside it to their own side", () => {
		const wrong: number[] = [];
		for (let code = 0; code < infinity; code++) {
			const low = value(code);
			// Above the largest finite value the format continues as if it had one more exponent.
			const high = code + 1 === infinity ? 2 ** (bias + 1) : value(code + 1);
			const middle = (low + high) / 2;
			const even = code % 2 === 0 ? code : code + 1;
			const below = middle * (1 - 2 ** -52);
			const above = middle * (1 + 2 ** -52);
			// The float32 path too: the midpoint is exact in binary32, which has spare bits for each format.
			const f32 = encode(Float32Array.of(middle, -middle));
			const right =
				bits(middle) === even &&
				bits(-middle) === (0x8000 | even) &&
				bits(below) === code &&
				bits(-below) === (0x8000 | code) &&
				bits(above) === code + 1 &&
				bits(-above) === (0x8000 | (code + 1)) &&
				Object.is(round(middle), value(even)) &&
				Object.is(round(-middle), value(0x8000 | even)) &&
				f32[0] === even &&
				f32[1] === (0x8000 | even);
			if (!right) wrong.push(code);
		}
		expect(wrong).toEqual([]);
	});

	test("array encoding agrees with scalar rounding on any float32", () => {
		fc.assert(
			fc.property(fc.float(), (x) => {
				const [code] = encode(Float32Array.of(x));
				expect(Object.is(fromBits(code!), round(x))).toBe(true);
				expect(bits(x)).toBe(code);
			}),
			{ numRuns: 5000 },
		);
	});

	test("rounds any double to a nearest representable value, in one step", () => {
		fc.assert(
			fc.property(fc.double({ noNaN: true, min: -70000, max: 70000 }), (x) => {
				const rounded = round(x);
				expect(Object.is(fromBits(bits(x)), rounded)).toBe(true);
				if (!Number.isFinite(rounded)) return;
				const code = bits(x) & 0x7fff;
				const magnitude = Math.abs(x);
				const error = Math.abs(value(code) - magnitude);
				if (code > 0) expect(error).toBeLessThanOrEqual(Math.abs(value(code - 1) - magnitude));
				if (code + 1 < infinity) expect(error).toBeLessThanOrEqual(Math.abs(value(code + 1) - magnitude));
			}),
			{ numRuns: 5000 },
		);
	});

	test("keeps signed zeros, infinities and NaN, and overflows to infinity", () => {
		expect(bits(0)).toBe(0);
		expect(bits(-0)).toBe(0x8000);
		expect(bits(Infinity)).toBe(infinity);
		expect(bits(-Infinity)).toBe(0x8000 | infinity);
		expect(bits(Number.MAX_VALUE)).toBe(infinity);
		expect(round(-Number.MAX_VALUE)).toBe(-Infinity);
		expect(Number.isNaN(round(Number.NaN))).toBe(true);
		expect(bits(Number.NaN) & 0x7fff).toBeGreaterThan(infinity);
		expect(Object.is(round(-Number.MIN_VALUE), -0)).toBe(true);
		expect(Object.is(round(Number.MIN_VALUE), 0)).toBe(true);
	});

	test("writes into the array it is given", () => {
		const out = new Float32Array(4).subarray(1, 3);
		expect(decode(Uint16Array.of(bits(1.5), bits(-2)), out)).toBe(out);
		expect([...new Float32Array(out.buffer)]).toEqual([0, 1.5, -2, 0]);
	});
});

test("a double that two roundings would spoil is rounded once", () => {
	// Just above the midpoint of 1 and the next F16: through float32 it would land on the midpoint and go to even, 1.
	const x = 1 + 2 ** -11 + 2 ** -40;
	expect(roundF16(x)).toBe(1 + 2 ** -10);
	expect(roundF16(Math.fround(x))).toBe(1);
	const y = 1 + 2 ** -8 + 2 ** -40;
	expect(roundBf16(y)).toBe(1 + 2 ** -7);
	expect(roundBf16(Math.fround(y))).toBe(1);
});
