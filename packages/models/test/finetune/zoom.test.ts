// Custom Diffusion's zoom: pictures on grey or cut, and the latents whose errors count.
import { augment, augmentations, createImage, zoomedArea } from "@dreamdist/core";
import { describe, expect, test } from "vitest";
import { coveredPixels } from "../../src/finetune/finetuner.js";

const size = [64, 64] as const;
const options = { size, crop: "center", flip: true, filter: "bilinear", zoom: true } as const;
const FACTOR = 8;
/** White, wider than the size: what is not white afterwards is not of the picture. */
const white = createImage(80, 64);
white.data.fill(255);

describe("a zoomed picture", () => {
	const ways = augmentations(white.width, white.height, options);

	test("is shown from a third of its size to 1.4 times, at nine places each, mirrored too", () => {
		const zooms = [...new Set(ways.map(({ zoom }) => zoom!))];
		expect(Math.min(...zooms)).toBeCloseTo(1 / 3);
		expect(Math.max(...zooms)).toBe(1.4);
		expect(ways.filter(({ zoom }) => zoom === 1)).toHaveLength(2);
		expect(ways.filter(({ zoom }) => zoom === 1.3)).toHaveLength(18);
		// Smaller ones come first.
		const larger = ways.findIndex(({ zoom }) => zoom! > 1);
		expect(ways.slice(larger).every(({ zoom }) => zoom! > 1)).toBe(true);
	});

	test("counts in latents that lie inside of it, whose weights add up to one", () => {
		for (const way of ways) {
			const shown = augment(white, way, options);
			expect([shown.width, shown.height]).toEqual(size);
			const pixels = coveredPixels(way, size, FACTOR);
			expect(pixels.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 5);
			const side = size[0] / FACTOR;
			const { width } = zoomedArea(way, size);
			pixels.forEach((weight, latent) => {
				if (weight === 0) return;
				const [x, y] = [(latent % side) * FACTOR, Math.floor(latent / side) * FACTOR];
				const middle = 3 * ((y + FACTOR / 2) * size[0] + x + FACTOR / 2);
				// A picture of a third of this size is all rim: one latent stands for it.
				if (width >= 4 * FACTOR) expect(shown.data[middle]).toBe(255);
			});
			const isCut = way.zoom! > 1;
			expect(pixels.every((weight) => weight > 0)).toBe(isCut);
			expect(shown.data.includes(128)).toBe(way.zoom! < 1);
		}
	});
});
