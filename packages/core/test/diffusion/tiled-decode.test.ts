import { describe, expect, it } from "vitest";
import { decodeTiled, InsufficientMemoryError, largestTile, tileStarts } from "../../src/index.js";
import { TestRandom } from "../random.js";

/** Nearest enlargement of the first three channels: what tiles decode does not depend on the tile. */
const enlarge =
	(factor: number, largest: number) =>
	async ({ data, shape }: { data: Float32Array; shape: readonly number[] }) => {
		const [, h, w, c] = shape as [number, number, number, number];
		if (h * w > largest) throw new InsufficientMemoryError("too large", h * w, largest);
		const out = new Float32Array(h * w * factor * factor * 3);
		for (let y = 0; y < h * factor; y++)
			for (let x = 0; x < w * factor; x++)
				for (let k = 0; k < 3; k++)
					out[(y * w * factor + x) * 3 + k] = data[(Math.floor(y / factor) * w + Math.floor(x / factor)) * c + k]!;
		return out;
	};

describe("tiled decoding", () => {
	it("covers any length with tiles that overlap by a quarter or more", () => {
		for (let tile = 4; tile <= 40; tile++)
			for (let length = 1; length <= 130; length++) {
				const starts = tileStarts(length, tile);
				expect(starts[0]).toBe(0);
				const size = Math.min(tile, length);
				expect(starts[starts.length - 1]! + size).toBe(length);
				for (let i = 1; i < starts.length; i++)
					expect(starts[i]! - starts[i - 1]!).toBeLessThanOrEqual(tile - Math.floor(tile / 4));
			}
	});

	it("gives the whole picture's values where tiles see the same, after halving until the plan fits", async () => {
		const random = new TestRandom(4);
		const [h, w] = [70, 45];
		const latents = { data: random.normals(h * w * 4), shape: [1, h, w, 4] };
		const fits = (most: number) =>
			largestTile(
				(shape) => enlarge(2, most)({ data: new Float32Array(shape.reduce((a, b) => a * b)), shape }),
				[h, w, 4],
			);
		expect(await fits(1e9)).toBe(70);
		expect(await fits(400)).toBe(18);
		const whole = await decodeTiled(enlarge(2, 1e9), 2, latents, 70);
		const tiled = await decodeTiled(enlarge(2, 400), 2, latents, 18);
		expect(tiled).toHaveLength(whole.length);
		for (let i = 0; i < whole.length; i++) expect(Math.abs(tiled[i]! - whole[i]!)).toBeLessThan(1e-5);
	});

	it("gives up with the plan's own error where not even the smallest tile fits", async () => {
		const prepare = (shape: readonly number[]) => enlarge(2, 10)({ data: new Float32Array(64 * 64 * 4), shape });
		await expect(largestTile(prepare, [64, 64, 4])).rejects.toBeInstanceOf(InsufficientMemoryError);
	});
});
