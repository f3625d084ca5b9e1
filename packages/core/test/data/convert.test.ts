import fc from "fast-check";
import { expect, test } from "vitest";
import { f32ToImages, imagesToF32 } from "../../src/data/image/convert.js";
import { createImage, type ImageU8, pasteImage } from "../../src/data/image/image.js";

test("bytes become b / 127.5 - 1 and come back as they were", () => {
	const data = Uint8Array.from({ length: 256 * 3 }, (_, i) => i % 256);
	const image: ImageU8 = { width: 16, height: 16, channels: 3, data };
	const { data: floats, shape } = imagesToF32([image, image]);
	expect(shape).toEqual([2, 16, 16, 3]);
	expect([floats[0], floats[255], floats[51]]).toEqual([-1, 1, Math.fround(51 / 127.5 - 1)]);
	expect(f32ToImages(floats, shape)).toEqual([image, image]);
});

test("any floats become the nearest byte, halves to even, outside clamped", () => {
	fc.assert(
		fc.property(fc.float({ min: -4, max: 4, noNaN: true }), (x) => {
			const [image] = f32ToImages(new Float32Array(3).fill(x), [1, 1, 1, 3]);
			const exact = Math.min(255, Math.max(0, (x + 1) * 127.5));
			expect(Math.abs(image!.data[0]! - exact)).toBeLessThanOrEqual(0.5);
		}),
	);
	// 0 becomes 127.5, halfway; 128 is the even one.
	expect(f32ToImages(Float32Array.of(0, -2, 2), [1, 1, 1, 3])[0]!.data).toEqual(Uint8Array.of(128, 0, 255));
});

test("what is not finite is an error that names the picture, not a black pixel", () => {
	const data = new Float32Array(2 * 12);
	data[13] = Number.NaN;
	data[14] = Infinity;
	expect(() => f32ToImages(data, [2, 2, 2, 3])).toThrow("picture 1 of 2 has 2 of 12 values");
});

test("shapes that do not fit are refused", () => {
	expect(() => f32ToImages(new Float32Array(12), [1, 3, 2, 2])).toThrow("[images, height, width, 3], not [1, 3, 2, 2]");
	expect(() => f32ToImages(new Float32Array(11), [1, 2, 2, 3])).toThrow("are 12 numbers, not 11");
	expect(() => imagesToF32([createImage(2, 2), createImage(2, 3)])).toThrow("picture 1 is 2×3 but picture 0 is 2×2");
	expect(() => imagesToF32([])).toThrow("no picture");
	expect(() => createImage(2, 2).data && createImage(-1, 2)).toThrow("cannot be -1×2");
});

test("pasting touches exactly the rectangle, and must fit", () => {
	const target = createImage(5, 4, [1, 2, 3]);
	pasteImage(target, createImage(2, 3, [9, 9, 9]), 3, 1);
	const pixels = Array.from({ length: 20 }, (_, i) => target.data[i * 3]);
	expect(pixels).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 9, 9, 1, 1, 1, 9, 9, 1, 1, 1, 9, 9]);
	expect(() => pasteImage(target, createImage(2, 3), 4, 1)).toThrow(
		"a picture of 2×3 does not fit at (4, 1) of one of 5×4",
	);
});
