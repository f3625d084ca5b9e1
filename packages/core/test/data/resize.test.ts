import { readFileSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { centerCrop, cropImage, resizeShorterSide } from "../../src/data/image/framing.js";
import { createImage, type ImageU8 } from "../../src/data/image/image.js";
import type { ResizeFilter } from "../../src/data/image/resample.js";
import { resizeF32, resizeImage } from "../../src/data/image/resize.js";
import { openSafetensors } from "../../src/data/safetensors/index.js";
import { referenceSet } from "./reference.js";

interface Golden {
	seed: number;
	from: [number, number];
	to: [number, number];
	filter: ResizeFilter;
}
interface GoldenFile {
	u8: (Golden & { output: number[] })[];
	u8_crc32: (Golden & { crc32: number })[];
	f32: (Golden & { bits: number[] })[];
}

/** Numbers that Pillow gave for the pictures of `pattern`. */
const golden = JSON.parse(readFileSync(join(import.meta.dirname, "golden/resize.json"), "utf8")) as GoldenFile;

/** A picture of hashed noise, the same as the one the golden numbers were made from. */
function pattern(width: number, height: number, seed: number): ImageU8 {
	const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
		let x = (Math.imul(i, 0x9e3779b1) + Math.imul(seed, 0x85ebca77)) >>> 0;
		x ^= x >>> 15;
		x = Math.imul(x, 0x2c1b3c6d) >>> 0;
		return (x ^ (x >>> 12)) & 0xff;
	});
	return { width, height, channels: 3, data };
}

const filters = ["bilinear", "bicubic", "lanczos"] as const;
const name = ({ from, to, filter }: Golden) => `${from.join("×")} to ${to.join("×")}, ${filter}`;

describe("resizing equals Pillow's byte for byte", () => {
	test.each(golden.u8.map((run) => [name(run), run] as const))("%s", (_, { seed, from, to, filter, output }) => {
		expect([...resizeImage(pattern(...from, seed), ...to, filter).data]).toEqual(output);
	});

	test.each(golden.u8_crc32.map((run) => [name(run), run] as const))("%s, by checksum", (_, run) => {
		const { data } = resizeImage(pattern(...run.from, run.seed), ...run.to, run.filter);
		expect(crc32(data)).toBe(run.crc32);
	});

	test.each(golden.f32.map((run) => [name(run), run] as const))("%s, floats", (_, { seed, from, to, filter, bits }) => {
		const { width, height, data } = pattern(...from, seed);
		const resized = resizeF32({ width, height, channels: 3, data: Float32Array.from(data) }, ...to, filter);
		expect([...new Uint32Array(resized.data.buffer)]).toEqual(bits);
	});
});

describe("the vision reference set", () => {
	const set = referenceSet("vision");
	interface Run {
		output: string;
		filter: ResizeFilter;
		width: number;
		height: number;
		shorter_side?: number;
		crop?: number;
		crop_output?: string;
	}
	const cases = set === undefined ? [] : JSON.parse(readFileSync(join(set, "cases.json"), "utf8")).cases;
	const resize = (cases as { name: string; kind: string; file: string; runs: Run[] }[]).filter(
		(c) => c.kind === "resize",
	);

	test.skipIf(set === undefined)("every run of every resize case, exactly", async () => {
		let compared = 0;
		for (const { file, runs } of resize) {
			const tensors = await openSafetensors(join(set!, file));
			const read = async (tensor: string): Promise<ImageU8> => {
				const [height, width] = tensors.entry(tensor).shape as [number, number, number];
				return { width, height, channels: 3, data: await tensors.read(tensor) };
			};
			const image = await read("image");
			for (const run of runs) {
				const resized = resizeImage(image, run.width, run.height, run.filter);
				expect(Buffer.from(resized.data).equals((await read(run.output)).data), `${file} ${run.output}`).toBe(true);
				compared++;
				if (run.shorter_side === undefined || run.crop === undefined) continue;
				const framed = resizeShorterSide(image, run.shorter_side, run.filter);
				expect([framed.width, framed.height]).toEqual([run.width, run.height]);
				const cropped = centerCrop(framed, run.crop);
				expect(
					Buffer.from(cropped.data).equals((await read(run.crop_output!)).data),
					`${file} ${run.crop_output}`,
				).toBe(true);
				compared++;
			}
			await tensors.close();
		}
		expect(compared).toBeGreaterThanOrEqual(resize.length);
		expect(resize.length).toBeGreaterThan(0);
	});
});

describe("resizing", () => {
	const side = fc.integer({ min: 1, max: 40 });

	test("keeps a constant picture constant, whatever the sizes", () => {
		fc.assert(
			fc.property(side, side, side, side, fc.constantFrom(...filters), fc.nat(255), (w, h, W, H, filter, value) => {
				const resized = resizeImage(createImage(w, h, [value, value, value]), W, H, filter);
				expect([resized.width, resized.height, resized.data.length]).toEqual([W, H, W * H * 3]);
				expect(resized.data.every((byte) => byte === value)).toBe(true);
			}),
		);
	});

	test("treats the two axes alike when one of them stays", () => {
		fc.assert(
			fc.property(side, side, side, fc.constantFrom(...filters), (w, h, W, filter) => {
				const image = pattern(w, h, 1);
				const transpose = ({ width, height, data }: ImageU8): ImageU8 => {
					const out = createImage(height, width);
					for (let y = 0; y < height; y++) {
						for (let x = 0; x < width; x++) {
							out.data.set(data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3), (x * height + y) * 3);
						}
					}
					return out;
				};
				expect(transpose(resizeImage(transpose(image), h, W, filter))).toEqual(resizeImage(image, W, h, filter));
			}),
		);
	});

	test("to the same size is a copy, not the same memory", () => {
		const image = pattern(5, 4, 2);
		const same = resizeImage(image, 5, 4);
		expect(same).toEqual(image);
		expect(same.data).not.toBe(image.data);
	});

	test("floats overshoot and are not clamped, also with other channel counts", () => {
		const step = { width: 8, height: 1, channels: 1, data: Float32Array.of(0, 0, 0, 0, 255, 255, 255, 255) };
		const { data } = resizeF32(step, 16, 1, "bicubic");
		expect(Math.min(...data)).toBeLessThan(0);
		expect(Math.max(...data)).toBeGreaterThan(255);
	});

	test.each([
		[() => resizeImage(createImage(2, 2), 0, 2), "a picture cannot be 0×2"],
		[() => resizeImage(createImage(2, 2), 2.5, 2), "a picture cannot be 2.5×2"],
		[() => resizeImage(createImage(2, 2), 2 ** 20, 2 ** 20), "over the limit of 268435456 pixels"],
		[() => resizeImage(createImage(2, 2), 2, 2, "nearest" as ResizeFilter), 'no resize filter "nearest"'],
		[() => resizeImage({ ...createImage(2, 2), data: new Uint8Array(3) }, 1, 1), "has 12 bytes"],
		[() => resizeF32({ width: 2, height: 2, channels: 3, data: new Float32Array(3) }, 1, 1), "does not have 3 numbers"],
		[() => resizeShorterSide(createImage(2, 2), -1), "a picture cannot be -1×-1"],
		[() => centerCrop(createImage(4, 4), 5), "a crop of 5×5 at (0, 0) is not inside a picture of 4×4"],
		[() => cropImage(createImage(4, 4), 0.5, 0, 1, 1), "at (0.5, 0)"],
	])("refuses what cannot be: %#", (call, message) => {
		expect(call).toThrow(message);
	});
});

describe("framing", () => {
	test("halves of the margin round to even", () => {
		const left = (size: number, crop: number) => {
			const image = createImage(size, 1);
			for (let x = 0; x < size; x++) image.data[x * 3] = x;
			return centerCrop(image, crop, 1).data[0];
		};
		expect([5, 6, 7, 8, 9, 10, 11].map((size) => left(size, 4))).toEqual([0, 1, 2, 2, 2, 3, 4]);
	});

	test("the longer side is rounded down", () => {
		const size = (image: ImageU8) => [image.width, image.height];
		expect(size(resizeShorterSide(createImage(100, 67), 32))).toEqual([47, 32]);
		expect(size(resizeShorterSide(createImage(67, 100), 32))).toEqual([32, 47]);
		expect(size(resizeShorterSide(createImage(50, 50), 32))).toEqual([32, 32]);
	});
});
