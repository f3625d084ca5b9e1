import { describe, expect, it } from "vitest";
import { framePrompt, frameWords, packFrames } from "../../src/index.js";
import { tinyTokenizer } from "./tiny-networks.js";

const V = 15; // where a vector stands, the end token's id

describe("prompt frames", () => {
	it("stand between start and end, and pad", () => {
		const { ids, positions, endPosition } = frameWords(tinyTokenizer, 3);
		expect([...ids]).toEqual([14, V, V, V, 15, 13, 13, 13, 13]);
		expect(positions).toEqual([1, 2, 3]);
		expect(endPosition).toBe(4);
	});

	it("take words before and after", () => {
		const { ids, positions, endPosition } = frameWords(tinyTokenizer, 2, { prefix: "a photo of", suffix: "at night" });
		expect([...ids]).toEqual([14, 0, 1, 2, V, V, 3, 4, 15]);
		expect(positions).toEqual([4, 5]);
		expect(endPosition).toBe(8);
	});

	it("take a class name at the end, in front and in the middle", () => {
		const at = (classPosition: "end" | "front" | "middle") => {
			const { ids, positions } = frameWords(tinyTokenizer, 3, { className: "dog_church", classPosition });
			return { ids: [...ids].slice(0, 8), positions };
		};
		expect(at("end")).toEqual({ ids: [14, V, V, V, 6, 5, 8, 15], positions: [1, 2, 3] });
		expect(at("front")).toEqual({ ids: [14, 6, 5, V, V, V, 8, 15], positions: [3, 4, 5] });
		expect(at("middle")).toEqual({ ids: [14, V, 6, 5, V, V, 8, 15], positions: [1, 4, 5] });
	});

	it("know the positions under which the official code looks words up", () => {
		const second = (vectors: number, words: Parameters<typeof frameWords>[2]) => [
			...frameWords(tinyTokenizer, vectors, { ...words, wordPositions: "twice" }).secondPositions!,
		];
		expect(frameWords(tinyTokenizer, 2).secondPositions).toBeUndefined();
		// The text behind the vectors counts from 1, as in the sequence that it is taken from.
		expect(second(2, { prefix: "a photo", suffix: "at night" })).toEqual([0, 1, 2, -1, -1, 1, 2, 3, 4]);
		// Words with a class are looked up in one sequence: start, vectors, name, full stop, end.
		const named = { className: "dog_church" };
		expect(second(3, named)).toEqual([0, -1, -1, -1, 4, 5, 6, 7, 8]);
		expect(second(3, { ...named, classPosition: "front" })).toEqual([0, 4, 5, -1, -1, -1, 6, 7, 8]);
		expect(second(3, { ...named, classPosition: "middle" })).toEqual([0, -1, 4, 5, -1, -1, 6, 7, 8]);
	});

	it("refuse what does not fit, with the numbers", () => {
		expect(() => frameWords(tinyTokenizer, 4, { prefix: "a photo of", suffix: "night" })).toThrow(
			/needs 10 positions .*prefix 3, vectors 4, class name 0, suffix 1.*has 9/,
		);
		expect(() => framePrompt(tinyTokenizer, 0)).toThrow(/from 1 on, not 0/);
	});

	it("are packed row by row, with the end rows of every prompt", () => {
		const frames = [framePrompt(tinyTokenizer, 2), framePrompt(tinyTokenizer, 2, { prefix: [0] })];
		const { ids, placement, endRows } = packFrames(frames, 3);
		expect([...ids.slice(0, 5)]).toEqual([14, V, V, 15, 13]);
		expect([...ids.slice(9, 14)]).toEqual([14, 0, V, V, 15]);
		const ones = [...placement].flatMap((value, i) =>
			value === 1 ? [[Math.floor(i / 18), Math.floor(i / 2) % 9, i % 2]] : [],
		);
		expect(ones).toEqual([
			[0, 1, 0],
			[0, 2, 1],
			[1, 2, 0],
			[1, 3, 1],
		]);
		expect([...endRows]).toEqual([3, 12, 21, 27 + 4, 36 + 4, 45 + 4]);
	});
});
