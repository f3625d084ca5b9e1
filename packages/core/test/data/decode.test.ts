import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { decodeImage, readImage } from "../../src/data/image/decode.js";
import { DreamdistError } from "../../src/errors.js";
import { generator } from "./random.js";

let folder: string;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "dd-image-"));
});
afterAll(() => rm(folder, { recursive: true }));

const width = 24;
const height = 16;
/** Smooth colours with some noise: neither format-breaking nor trivially compressible. */
const pixels = Buffer.from(
	Uint8Array.from({ length: width * height * 3 }, (_, i) => {
		const x = Math.floor(i / 3) % width;
		const y = Math.floor(i / 3 / width);
		return (x * 7 + y * 5 * (i % 3) + ((i * 2654435761) >>> 28)) & 0xff;
	}),
);
const picture = () => sharp(pixels, { raw: { width, height, channels: 3 } });

async function failure(action: Promise<unknown>): Promise<DreamdistError> {
	const error = await action.then(
		() => undefined,
		(reason: unknown) => reason,
	);
	expect(error).toBeInstanceOf(DreamdistError);
	return error as DreamdistError;
}

/** A damaged file may decode or not; what it may not do is give anything but a picture or a sentence. */
function isSentence(error: unknown): boolean {
	return (
		error instanceof DreamdistError &&
		error.code === "BAD_IMAGE" &&
		error.message.startsWith("x.img cannot be decoded as a picture: ") &&
		error.message.length < 400 &&
		// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not be there
		!/[\x00-\x1f]/.test(error.message)
	);
}

describe("decoding", () => {
	test.each(["png", "webp", "tiff"] as const)("%s without loss gives the pixels", async (format) => {
		const options = format === "webp" ? { lossless: true } : format === "tiff" ? { compression: "lzw" } : {};
		const path = join(folder, `x.${format}`);
		await writeFile(path, await picture().toFormat(format, options).toBuffer());
		const image = await readImage(path);
		expect([image.width, image.height, image.channels]).toEqual([width, height, 3]);
		expect(Buffer.from(image.data).equals(pixels)).toBe(true);
	});

	test.each(["jpeg", "avif", "gif"] as const)("%s gives about the pixels", async (format) => {
		const image = await decodeImage(await picture().toFormat(format, { quality: 100 }).toBuffer(), "x");
		const error = image.data.reduce((sum, byte, i) => sum + Math.abs(byte - pixels[i]!), 0) / pixels.length;
		expect([image.width, image.height]).toEqual([width, height]);
		expect(error).toBeLessThan(12);
	});

	/** Where the source's pixel (x, y) goes, for each EXIF orientation. */
	const placed: Record<number, (x: number, y: number) => [number, number]> = {
		1: (x, y) => [x, y],
		2: (x, y) => [width - 1 - x, y],
		3: (x, y) => [width - 1 - x, height - 1 - y],
		4: (x, y) => [x, height - 1 - y],
		5: (x, y) => [y, x],
		6: (x, y) => [height - 1 - y, x],
		7: (x, y) => [height - 1 - y, width - 1 - x],
		8: (x, y) => [y, width - 1 - x],
	};
	test.each([1, 2, 3, 4, 5, 6, 7, 8])("orientation %i is applied", async (orientation) => {
		const image = await decodeImage(await picture().withMetadata({ orientation }).png().toBuffer(), "x");
		expect([image.width, image.height]).toEqual(orientation < 5 ? [width, height] : [height, width]);
		for (let y = 0; y < height; y++) {
			for (let x = 0; x < width; x++) {
				const [X, Y] = placed[orientation]!(x, y);
				expect(image.data[(Y * image.width + X) * 3]).toBe(pixels[(y * width + x) * 3]);
			}
		}
	});

	test("transparency is flattened on white, or the background asked for", async () => {
		const rgba = Buffer.from([200, 100, 0, 255, 200, 100, 0, 0, 200, 100, 0, 51]);
		const png = await sharp(rgba, { raw: { width: 3, height: 1, channels: 4 } })
			.png()
			.toBuffer();
		const near = (actual: Uint8Array, expected: number[]) =>
			expected.every((value, i) => Math.abs(value - actual[i]!) <= 1);
		const onWhite = (await decodeImage(png, "x")).data;
		expect(near(onWhite, [200, 100, 0, 255, 255, 255, 244, 224, 204]), String(onWhite)).toBe(true);
		const onBlue = (await decodeImage(png, "x", { background: [0, 0, 255] })).data;
		expect(near(onBlue, [200, 100, 0, 0, 0, 255, 40, 20, 204]), String(onBlue)).toBe(true);
	});

	test("grey, 16-bit, palette and CMYK pictures become 8-bit RGB", async () => {
		const grey = await decodeImage(await picture().greyscale().toColourspace("b-w").png().toBuffer(), "x");
		expect(grey.data.length).toBe(width * height * 3);
		expect(grey.data.every((byte, i) => byte === grey.data[i - (i % 3)])).toBe(true);
		const deep = await sharp(Uint16Array.of(0, 0x8080, 0xffff), { raw: { width: 1, height: 1, channels: 3 } })
			.toColourspace("rgb16")
			.png()
			.toBuffer();
		expect((await sharp(deep).metadata()).depth).toBe("ushort");
		expect([...(await decodeImage(deep, "x")).data]).toEqual([0, 0x80, 255]);
		const palette = await decodeImage(await picture().png({ palette: true }).toBuffer(), "x");
		expect(palette.data.length).toBe(pixels.length);
		const cmyk = await picture().toColourspace("cmyk").jpeg({ quality: 100 }).toBuffer();
		expect((await sharp(cmyk).metadata()).space).toBe("cmyk");
		expect((await decodeImage(cmyk, "x")).data.length).toBe(pixels.length);
	});

	test("an embedded profile is converted to sRGB", async () => {
		// A Display P3 colour that lies inside sRGB, and what it is there (the standards' own matrices and curve).
		const p3 = await sharp(Buffer.from([150, 100, 60]), { raw: { width: 1, height: 1, channels: 3 } })
			.png()
			.toBuffer();
		const tagged = await sharp(p3).withIccProfile("p3", { attach: true }).png().toBuffer();
		const raw = [...(await sharp(tagged, { ignoreIcc: true }).raw().toBuffer())];
		const linear = raw.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
		const matrix = [
			[1.2249402, -0.2249402, 0],
			[-0.042057, 1.042057, 0],
			[-0.0196376, -0.0786361, 1.0982735],
		];
		const expected = matrix
			.map((row) => row.reduce((sum, weight, i) => sum + weight * linear[i]!, 0))
			.map((v) => 255 * (v <= 0.0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055));
		const image = await decodeImage(tagged, "x");
		expect(raw).not.toEqual([...image.data]);
		for (const i of [0, 1, 2]) expect(Math.abs(image.data[i]! - expected[i]!)).toBeLessThanOrEqual(2);
	});

	test("of an animation the first frame is taken", async () => {
		const frames = Buffer.concat([Buffer.alloc(12, 255), Buffer.alloc(12, 0)]);
		const raw = { width: 2, height: 4, channels: 3 as const, pageHeight: 2 };
		const gif = await sharp(frames, { raw }).gif().toBuffer();
		expect((await sharp(gif).metadata()).pages).toBe(2);
		const image = await decodeImage(gif, "x");
		expect([image.width, image.height, ...image.data]).toEqual([2, 2, ...Buffer.alloc(12, 255)]);
	});
});

describe("what is no picture, or too large a one, is a sentence", () => {
	/** A PNG of a few bytes whose header claims any size. */
	function bomb(w: number, h: number): Buffer {
		const chunk = (type: string, data: Buffer) => {
			const body = Buffer.concat([Buffer.from(type), data]);
			const ends = Buffer.alloc(8);
			ends.writeUInt32BE(data.length, 0);
			ends.writeUInt32BE(crc32(body), 4);
			return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)]);
		};
		const header = Buffer.alloc(13);
		header.writeUInt32BE(w, 0);
		header.writeUInt32BE(h, 4);
		header.set([8, 2, 0, 0, 0], 8);
		const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
		return Buffer.concat([
			signature,
			chunk("IHDR", header),
			chunk("IDAT", Buffer.alloc(20)),
			chunk("IEND", Buffer.alloc(0)),
		]);
	}

	test("bombs are refused by their header", async () => {
		const before = process.memoryUsage.rss();
		for (const [w, h] of [
			[30_000, 30_000],
			[2 ** 31 - 1, 2 ** 31 - 1],
			[1, 2 ** 31 - 1],
		] as const) {
			const error = await failure(decodeImage(bomb(w, h), "bomb.png"));
			expect(error.message).toContain("bomb.png cannot be decoded as a picture: it");
		}
		expect(process.memoryUsage.rss() - before).toBeLessThan(200 * 2 ** 20);
		const limited = await failure(decodeImage(await picture().png().toBuffer(), "x.png", { maxPixels: 100 }));
		expect(limited.message).toMatch(/x\.png cannot be decoded as a picture: it.* 100.*resize it first$/);
	});

	test.each<[string, Buffer, string]>([
		["nothing", Buffer.alloc(0), "the file is empty"],
		["text", Buffer.from("not a picture at all"), "it is not JPEG, PNG, WebP, AVIF, TIFF or GIF"],
		["zeros", Buffer.alloc(1000), "it is not JPEG, PNG, WebP, AVIF, TIFF or GIF"],
		["SVG", Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'), "it is SVG, not JPEG"],
		["HEIC", Buffer.from("\0\0\0\x18ftypheic\0\0\0\0mif1heic", "latin1"), "it is HEIC, which cannot be decoded here"],
	])("%s", async (_, bytes, message) => {
		const error = await failure(decodeImage(bytes, "x.img"));
		expect(isSentence(error)).toBe(true);
		expect(error.message).toContain(message);
	});

	test("no file, a folder, a wrong limit", async () => {
		expect((await failure(readImage(join(folder, "none.png")))).code).toBe("FILE_NOT_FOUND");
		expect((await failure(readImage(folder))).code).toBe("FILE_WRONG_KIND");
		expect((await failure(decodeImage(Buffer.alloc(1), "x", { maxPixels: 0 }))).code).toBe("INVALID_ARGUMENT");
	});
});

describe("damaged files give a picture or a sentence, in bounded time and memory", () => {
	const formats: Record<string, () => Promise<Buffer>> = {
		jpeg: () => picture().jpeg().toBuffer(),
		"jpeg progressive": () => picture().jpeg({ progressive: true }).toBuffer(),
		png: () => picture().png().toBuffer(),
		"png interlaced": () => picture().png({ progressive: true }).toBuffer(),
		webp: () => picture().webp().toBuffer(),
		"webp lossless": () => picture().webp({ lossless: true }).toBuffer(),
		tiff: () => picture().tiff({ compression: "lzw" }).toBuffer(),
		gif: () => picture().gif().toBuffer(),
		avif: () => picture().avif().toBuffer(),
	};

	/** Bytes at the end that hold no pixels, without which the picture is still whole. */
	const dispensable: Record<string, number> = { png: 12, "png interlaced": 12, gif: 1 };

	test.each(Object.keys(formats))("%s cut off anywhere is a sentence", async (name) => {
		const whole = await formats[name]!();
		const ends = Array.from({ length: 60 }, (_, i) => Math.floor(((whole.length - 1) * i) / 59));
		const wrong: string[] = [];
		for (const end of ends) {
			try {
				const image = await decodeImage(whole.subarray(0, end), "x.img");
				const intact = end >= whole.length - (dispensable[name] ?? 0);
				if (!intact) wrong.push(`${end} of ${whole.length} bytes gave ${image.width}×${image.height}`);
			} catch (error) {
				if (!isSentence(error)) wrong.push(String(error));
			}
		}
		expect(wrong).toEqual([]);
	});

	test.each(Object.keys(formats))("%s with random damage", async (name) => {
		const whole = await formats[name]!();
		const random = generator(whole.length);
		const before = process.memoryUsage.rss();
		const wrong: string[] = [];
		let slowest = 0;
		let refused = 0;
		for (let i = 0; i < 150; i++) {
			let bytes = Buffer.from(whole);
			for (let n = 1 + random(6); n > 0; n--) {
				const at = random(bytes.length);
				const kind = random(4);
				if (kind === 0) bytes[at]! ^= 1 << random(8);
				else if (kind === 1) bytes[at] = random(256);
				else if (kind === 2) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random(8))]);
				// Damage among the first bytes reaches sizes and types.
				else bytes[random(Math.min(64, bytes.length))] = random(2) ? 0xff : random(256);
				if (bytes.length === 0) bytes = Buffer.alloc(1);
			}
			const start = performance.now();
			try {
				const image = await decodeImage(bytes, "x.img", { maxPixels: 1_000_000 });
				if (image.data.length !== image.width * image.height * 3) wrong.push(`${i}: sizes do not fit`);
			} catch (error) {
				refused++;
				if (!isSentence(error)) wrong.push(`${i}: ${String(error)}`);
			}
			slowest = Math.max(slowest, performance.now() - start);
		}
		expect(wrong).toEqual([]);
		expect(refused).toBeGreaterThan(10);
		expect(slowest).toBeLessThan(10_000);
		expect(process.memoryUsage.rss() - before).toBeLessThan(400 * 2 ** 20);
	});
});
