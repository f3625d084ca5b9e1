import { describe, expect, test } from "vitest";
import { PICTURE_BYTES, render, STYLE_NAMES, sampleScene } from "../src/index.js";

const scenes = Array.from({ length: 36 }, (_, i) => sampleScene(40_000 + i, { style: STYLE_NAMES[i % 6]! }));

function pictureOf(pictures: Uint8Array, at: number): Uint8Array {
	return pictures.subarray(at * PICTURE_BYTES, (at + 1) * PICTURE_BYTES);
}

function largestDifference(a: Uint8Array, b: Uint8Array): number {
	let largest = 0;
	for (let i = 0; i < a.length; i++) largest = Math.max(largest, Math.abs(a[i]! - b[i]!));
	return largest;
}

describe("render", () => {
	test("gives 64 by 64 RGB pictures, the same bytes every time", async () => {
		const pictures = await render(scenes);
		expect(pictures).toHaveLength(36 * 64 * 64 * 3);
		expect(Buffer.compare(pictures, await render(scenes))).toBe(0);
		expect(await render([])).toHaveLength(0);
	});

	test("a picture hardly depends on those drawn with it", async () => {
		const pictures = await render(scenes);
		for (const at of [0, 1, 2, 3, 4, 5, 17, 35]) {
			const alone = await render([scenes[at]!]);
			expect(largestDifference(alone, pictureOf(pictures, at)), scenes[at]!.style).toBeLessThanOrEqual(2);
		}
	});

	test("different scenes are different pictures, and none is blank", async () => {
		const pictures = await render(scenes);
		const seen = new Set(scenes.map((_, at) => Buffer.from(pictureOf(pictures, at)).toString("base64")));
		expect(seen.size).toBe(scenes.length);
		for (let at = 0; at < scenes.length; at++) {
			const picture = pictureOf(pictures, at);
			const mean = picture.reduce((sum, v) => sum + v, 0) / picture.length;
			const variance = picture.reduce((sum, v) => sum + (v - mean) ** 2, 0) / picture.length;
			expect(Math.sqrt(variance), JSON.stringify(scenes[at])).toBeGreaterThan(12);
		}
	});

	test("mosaics have cells of two by two pixels of one colour, few in all", async () => {
		const mosaics = scenes.filter(({ style }) => style === "mosaic");
		const pictures = await render(mosaics);
		mosaics.forEach((_, at) => {
			const picture = pictureOf(pictures, at);
			const colours = new Set<string>();
			const pixel = (x: number, y: number) => picture.subarray((y * 64 + x) * 3, (y * 64 + x) * 3 + 3).join();
			for (let y = 0; y < 64; y += 2)
				for (let x = 0; x < 64; x += 2) {
					const cell = [pixel(x, y), pixel(x + 1, y), pixel(x, y + 1), pixel(x + 1, y + 1)];
					expect(new Set(cell).size).toBe(1);
					colours.add(cell[0]!);
				}
			expect(colours.size).toBeLessThan(30);
		});
	});

	test("a blackboard is dark, glass is framed in lead, a pastel is soft", async () => {
		const seeds = Array.from({ length: 12 }, (_, i) => 7000 + i);
		const of = async (style: "chalk" | "glass" | "pastel" | "flat") => {
			const pictures = await render(seeds.map((seed) => sampleScene(seed, { style, palette: "ocean" })));
			return seeds.map((_, at) => pictureOf(pictures, at));
		};
		const median = (picture: Uint8Array) => picture.slice().sort()[picture.length >> 1]!;
		for (const picture of await of("chalk")) expect(median(picture)).toBeLessThan(70);
		for (const picture of await of("glass")) expect(picture.subarray(0, 64 * 3).every((v) => v < 60)).toBe(true);
		const steps = (pictures: Uint8Array[]) =>
			pictures.reduce((sum, picture) => {
				let largest = 0;
				for (let i = 3; i < picture.length; i++)
					if (i % 192 > 2) largest = Math.max(largest, Math.abs(picture[i]! - picture[i - 3]!));
				return sum + largest;
			}, 0) / pictures.length;
		expect(steps(await of("pastel"))).toBeLessThan(steps(await of("flat")) * 0.8);
	});
});
