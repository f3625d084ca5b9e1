// Pixels against digests that were stored when every byte of the reference set (timm, Pillow) agreed.
import { createHash } from "node:crypto";
import type { ImageU8 } from "@dreamdist/core";
import { describe, expect, test } from "vitest";
import {
	AUGMENTATIONS,
	AUTO_AUGMENT_V0,
	augmentationArgument,
	augmentImage,
	autoAugment,
	hashedNumber,
	rotateImage,
	transformImage,
} from "../../src/index.js";
import { DIGESTS } from "./digests.js";

/** Noise on a slope, one channel of it nearly flat. */
function picture(width: number, height: number): ImageU8 {
	const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
		const channel = i % 3;
		const slope = ((i / 3) % width) / width;
		return channel === 2
			? 90 + 3 * hashedNumber(i, 2, 5)
			: 255 * Math.min(1, Math.max(0, slope + 0.3 * hashedNumber(i, channel, 5)));
	});
	return { width, height, channels: 3, data };
}

const image = picture(29, 22);
const digest = (result: ImageU8) => createHash("sha256").update(result.data).digest("hex").slice(0, 16);

describe("operations of AutoAugment", () => {
	test.each(AUGMENTATIONS)("%s", (name) => {
		const results = [0, 3, 7, 10].flatMap((magnitude) =>
			(["bilinear", "bicubic"] as const).map((filter) =>
				digest(augmentImage(image, name, augmentationArgument(name, magnitude) ?? 0, { filter })),
			),
		);
		expect(createHash("sha256").update(results.join()).digest("hex").slice(0, 16)).toBe(DIGESTS[name]);
	});

	test("what does nothing changes nothing", () => {
		expect(augmentImage(image, "Color", 1).data).toEqual(image.data);
		expect(augmentImage(image, "Posterize", 8).data).toEqual(image.data);
		expect(augmentImage(image, "Solarize", 256).data).toEqual(image.data);
		expect(transformImage(image, [1, 0, 0, 0, 1, 0], "bicubic", [0, 0, 0]).data).toEqual(image.data);
		expect(rotateImage(image, 0, "bilinear", [0, 0, 0]).data).toEqual(image.data);
		expect(augmentImage(image, "Posterize", 0).data.every((byte) => byte === 0)).toBe(true);
	});

	test("four quarter turns of a square are none, and a quarter turn is counter-clockwise", () => {
		const square = picture(16, 16);
		let turned = square;
		for (let i = 0; i < 4; i++) turned = rotateImage(turned, 90, "bilinear", [1, 2, 3]);
		expect(turned.data).toEqual(square.data);
		// What was at the right end of the top row is at its left end afterwards.
		const once = rotateImage(square, 90, "bilinear", [1, 2, 3]);
		expect(once.data.subarray(0, 3)).toEqual(square.data.subarray(15 * 3, 16 * 3));
	});
});

describe("the policy", () => {
	test("has 25 pairs, and draws each operation by its probability", () => {
		expect(AUTO_AUGMENT_V0).toHaveLength(25);
		// The last policy, neither of whose operations is drawn.
		expect(autoAugment(image, () => 0.99).data).toEqual(image.data);
		// The first one with both: Equalize, then ShearY by 0.12 with the cubic filter.
		const expected = augmentImage(augmentImage(image, "Equalize"), "ShearY", 0.12, { filter: "bicubic" });
		expect(autoAugment(image, () => 0).data).toEqual(expected.data);
	});
});
