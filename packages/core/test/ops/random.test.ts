import { describe, expect, it } from "vitest";
import { philox4x32, philoxBits, philoxNormal, philoxUniform } from "../../src/index.js";
import { evaluate } from "./support.js";

const hex = (words: readonly number[]) => words.map((word) => (word >>> 0).toString(16).padStart(8, "0")).join(" ");

describe("Philox4x32-10", () => {
	// Known answers of the Random123 distribution.
	it.each([
		[[0, 0, 0, 0], [0, 0], "6627e8d5 e169c58d bc57ac4c 9b00dbd8"],
		[Array(4).fill(0xffffffff), Array(2).fill(0xffffffff), "408f276d 41c83b0e a20bc7c6 6d5451fd"],
		[[0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0], "d16cfe09 94fdcceb 5001e420 24126ea1"],
	])("counter %j, key %j", (counter, key, expected) => {
		expect(hex(philox4x32(counter, key))).toBe(expected);
		expect(hex(philox4x32(Int32Array.from(counter), Int32Array.from(key)))).toBe(expected);
	});

	it("gives the op's words, block by block and row by row", () => {
		const keys = [1, -2, 3, -4, 5, 6, 0x7fffffff, -0x80000000];
		const [bits] = evaluate({ key: [[2, 4], keys, "i32"] }, ({ key }) => philoxBits(key!, 10));
		for (const row of [0, 1]) {
			const [k0, k1, c2, c3] = keys.slice(4 * row, 4 * row + 4) as [number, number, number, number];
			const words = [0, 1, 2].flatMap((block) => philox4x32([block, 0, c2, c3], [k0, k1])).slice(0, 10);
			expect(hex(bits!.slice(10 * row, 10 * row + 10))).toBe(hex(words));
		}
	});

	it("gives uniform numbers in [0, 1) and normal numbers of mean 0 and variance 1", () => {
		const n = 20000;
		const [uniform, normal] = evaluate({ key: [[1, 4], [42, 0, 7, 0], "i32"] }, ({ key }) => [
			philoxUniform(key!, n),
			philoxNormal(key!, n),
		]);
		const mean = (x: number[], power = 1) => x.reduce((sum, value) => sum + value ** power, 0) / x.length;
		expect(uniform!.every((u) => u >= 0 && u < 1 && Number.isInteger(u * 2 ** 24))).toBe(true);
		expect(mean(uniform!)).toBeCloseTo(0.5, 1.9);
		// Five standard errors of each moment.
		expect(Math.abs(mean(normal!))).toBeLessThan(5 / Math.sqrt(n));
		expect(Math.abs(mean(normal!, 2) - 1)).toBeLessThan(5 * Math.sqrt(2 / n));
		expect(Math.abs(mean(normal!, 4) - 3)).toBeLessThan(5 * Math.sqrt(96 / n));
	});

	it("a row depends on its own key alone, and a longer draw continues a shorter one", () => {
		const draw = (keys: number[], n: number) =>
			evaluate({ key: [[keys.length / 4, 4], keys, "i32"] }, ({ key }) => philoxNormal(key!, n))[0]!;
		const both = draw([1, 2, 3, 4, 5, 6, 7, 8], 9);
		expect(both.slice(9)).toEqual(draw([5, 6, 7, 8], 9));
		expect(draw([1, 2, 3, 4], 30).slice(0, 9)).toEqual(both.slice(0, 9));
	});

	it("refuses keys of another type or shape", () => {
		expect(() =>
			evaluate(
				{
					key: [
						[1, 4],
						[0, 0, 0, 0],
					],
				},
				({ key }) => philoxNormal(key!, 4),
			),
		).toThrow("random: the key must be i32[rows, 4], not f32[1, 4]");
		expect(() => evaluate({ key: [[4], [0, 0, 0, 0], "i32"] }, ({ key }) => philoxNormal(key!, 4))).toThrow("i32[4]");
	});
});
