import fc from "fast-check";
import ndarray from "ndarray";
import { describe, expect, test } from "vitest";
import { fromNdarray, toNdarray } from "../../src/data/ndarray.js";

/** Row-major values read one by one through the array's own `get`. */
function values(array: ndarray.NdArray): number[] {
	const out: number[] = [];
	const visit = (index: number[]) => {
		if (index.length === array.dimension) out.push(array.get(...index));
		else for (let i = 0; i < array.shape[index.length]!; i++) visit([...index, i]);
	};
	visit([]);
	return out;
}

describe("toNdarray", () => {
	test("shares memory and has row-major strides", () => {
		const data = Float32Array.from({ length: 24 }, (_, i) => i);
		const array = toNdarray(data, [2, 3, 4]);
		expect([array.dtype, array.shape, array.stride, array.offset]).toEqual(["float32", [2, 3, 4], [12, 4, 1], 0]);
		expect(array.get(1, 2, 3)).toBe(23);
		array.set(0, 0, 1, 99);
		expect(data[1]).toBe(99);
	});

	test("refuses a shape that does not fit", () => {
		expect(() => toNdarray(new Float32Array(5), [2, 3])).toThrow("shape [2, 3] has 6 elements but the data have 5");
		expect(() => toNdarray(new Float32Array(5), [-5])).toThrow("[-5] is not a shape");
	});
});

describe("fromNdarray", () => {
	type View = (array: ndarray.NdArray<Float64Array>) => ndarray.NdArray<Float64Array>;
	const side = fc.integer({ min: 1, max: 4 });
	/** Slices, reversals, strides, transpositions and picks, as the library itself makes them. */
	const view: fc.Arbitrary<View> = fc.oneof(
		fc.array(side, { minLength: 4, maxLength: 4 }).map(
			(n): View =>
				(a) =>
					a.hi(...a.shape.map((s, i) => Math.min(s, n[i]!))),
		),
		fc.array(fc.nat(2), { minLength: 4, maxLength: 4 }).map(
			(n): View =>
				(a) =>
					a.lo(...a.shape.map((s, i) => Math.min(s - 1, n[i]!))),
		),
		fc.array(fc.constantFrom(1, -1, 2, -2), { minLength: 4, maxLength: 4 }).map(
			(n): View =>
				(a) =>
					a.step(...n.slice(0, a.dimension)),
		),
		fc.nat(3).map(
			(n): View =>
				(a) =>
					a.transpose(...a.shape.map((_, i) => (i + n) % a.dimension)),
		),
		fc.constant((a: ndarray.NdArray<Float64Array>) => (a.dimension > 1 ? a.pick(0) : a)),
	);

	test("gives the elements of any view in row-major order", () => {
		fc.assert(
			fc.property(fc.array(side, { minLength: 1, maxLength: 4 }), fc.array(view, { maxLength: 4 }), (shape, views) => {
				const size = shape.reduce((a, b) => a * b, 1);
				const base = toNdarray(
					Float64Array.from({ length: size }, (_, i) => i),
					shape,
				);
				const array = views.reduce<ndarray.NdArray<Float64Array>>((a, apply) => apply(a), base);
				const before = Float64Array.from(base.data);
				const { data, shape: out } = fromNdarray(array);
				expect(out).toEqual(array.shape);
				expect([...data]).toEqual(values(array));
				expect(base.data).toEqual(before);
			}),
			{ numRuns: 2000 },
		);
	});

	test("what lies in one piece is not copied, also in the middle of a larger array", () => {
		const data = Float32Array.from({ length: 24 }, (_, i) => i);
		const array = toNdarray(data, [4, 2, 3]);
		expect(fromNdarray(array).data.buffer).toBe(data.buffer);
		const slice = fromNdarray(array.lo(1, 0, 0).hi(2, 2, 3));
		expect(slice.shape).toEqual([2, 2, 3]);
		expect(slice.data.buffer).toBe(data.buffer);
		expect([...slice.data]).toEqual([...data.subarray(6, 18)]);
		expect(fromNdarray(array.pick(2)).data.buffer).toBe(data.buffer);
		expect(fromNdarray(array.transpose(2, 1, 0)).data.buffer).not.toBe(data.buffer);
	});

	test("every element type keeps it; plain arrays become float32; scalars and empty arrays work", () => {
		for (const Type of [
			Int8Array,
			Uint8Array,
			Uint8ClampedArray,
			Int16Array,
			Uint16Array,
			Int32Array,
			Uint32Array,
		] as const) {
			const reversed = fromNdarray(ndarray(Type.of(1, 2, 3), [3]).step(-1));
			expect(reversed.data).toEqual(Type.of(3, 2, 1));
		}
		const big = ndarray(BigInt64Array.of(1n, 2n), [2]) as ndarray.NdArray<BigInt64Array<ArrayBuffer>>;
		expect(fromNdarray(big.step(-1)).data).toEqual(BigInt64Array.of(2n, 1n));
		expect(fromNdarray(ndarray([1, 2, 3, 4], [2, 2]).transpose(1, 0)).data).toEqual(Float32Array.of(1, 3, 2, 4));
		expect(fromNdarray(ndarray(Float32Array.of(7), []))).toEqual({ data: Float32Array.of(7), shape: [] });
		expect(fromNdarray(ndarray(new Float32Array(0), [0, 3]).transpose(1, 0))).toEqual({
			data: new Float32Array(0),
			shape: [3, 0],
		});
	});

	test("an array that reaches outside its data, or holds something else, is refused", () => {
		expect(() => fromNdarray(ndarray(new Float32Array(5), [2, 3]))).toThrow("reaches outside its 5 elements");
		expect(() => fromNdarray(ndarray(new Float32Array(6), [2, 3], [3, 1], 1))).toThrow("offset 1 reaches outside");
		expect(() => fromNdarray(ndarray(new Float32Array(6), [6], [-1], 0))).toThrow("reaches outside");
		const generic = ndarray({ get: () => 0, set: () => undefined, length: 3 }, [3]);
		expect(() => fromNdarray(generic as unknown as ndarray.NdArray<number[]>)).toThrow(
			"dtype generic cannot be converted",
		);
	});
});
