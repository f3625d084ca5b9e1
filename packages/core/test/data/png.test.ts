import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32, deflateSync } from "node:zlib";
import fc from "fast-check";
import sharp from "sharp";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readImage } from "../../src/data/image/decode.js";
import { createImage, type ImageU8 } from "../../src/data/image/image.js";
import { encodePng, readPngRecipe, readPngText, writePng } from "../../src/data/image/png.js";
import { insertPngText, parsePngText } from "../../src/data/image/png-text.js";
import { DreamdistError } from "../../src/errors.js";
import { generator } from "./random.js";

let folder: string;
beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "dd-png-"));
});
afterEach(() => rm(folder, { recursive: true }));

const noise = (width: number, height: number): ImageU8 => {
	const random = generator(width * 1000 + height);
	return { width, height, channels: 3, data: Uint8Array.from({ length: width * height * 3 }, () => random(256)) };
};

function chunk(type: string, data: Buffer): Buffer {
	const body = Buffer.concat([Buffer.from(type), data]);
	const ends = Buffer.alloc(8);
	ends.writeUInt32BE(data.length, 0);
	ends.writeUInt32BE(crc32(body), 4);
	return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)]);
}

describe("writePng", () => {
	test("pixels, text and recipe come back as they were", async () => {
		const path = join(folder, "x.png");
		const image = noise(13, 7);
		const recipe = { prompt: "a 猫 & <b>", seed: 7, gamma: 1.5, tokens: [1, 2] };
		await writePng(path, image, { text: { Title: "naïve", Comment: "two\nlines" }, recipe });
		expect(await readImage(path)).toEqual(image);
		expect(await readPngRecipe(path)).toEqual(recipe);
		const text = await readPngText(path);
		expect([...text]).toEqual([
			["Title", "naïve"],
			["Comment", "two\nlines"],
			["dreamdist", JSON.stringify(recipe)],
		]);
		expect(await readdir(folder)).toEqual(["x.png"]);
		// Other readers see the same: libpng, through sharp.
		const comments = (await sharp(path).metadata()).comments;
		expect(comments).toContainEqual({ keyword: "Title", text: "naïve" });
	});

	test("the same picture and text give the same bytes", async () => {
		const options = { recipe: { seed: 1 } };
		expect(Buffer.from(await encodePng(noise(9, 9), options)).equals(await encodePng(noise(9, 9), options))).toBe(true);
	});

	test("a file without recipe has none, and one of another program is a sentence", async () => {
		const path = join(folder, "x.png");
		await writePng(path, noise(2, 2));
		expect(await readPngRecipe(path)).toBeUndefined();
		await writePng(path, noise(2, 2), { text: { dreamdist: "{" } });
		await expect(readPngRecipe(path)).rejects.toThrow(`the recipe in ${path} is not JSON`);
	});

	test("a missing folder and a wrong picture are sentences", async () => {
		const path = join(folder, "no", "x.png");
		await expect(writePng(path, noise(2, 2))).rejects.toThrow(`cannot write x.png into ${join(folder, "no")}`);
		const short = { ...createImage(2, 2), data: new Uint8Array(5) };
		await expect(writePng(join(folder, "x.png"), short)).rejects.toThrow("has 12 bytes, but this one has");
		expect(await readdir(folder)).toEqual([]);
	});
});

describe("text chunks", () => {
	const letters = fc.constantFrom(..."abcXYZ019+=é");
	const keyword = fc
		.array(fc.string({ unit: letters, minLength: 1, maxLength: 9 }), { minLength: 1, maxLength: 5 })
		.map((words) => words.join(" "));
	const value = fc
		.oneof(fc.string({ unit: "binary" }), fc.string({ unit: letters, maxLength: 3000 }))
		.map((text) => text.replaceAll("\0", ""));

	test("any text comes back, and the picture with it", async () => {
		const png = await encodePng(noise(4, 3));
		fc.assert(
			fc.property(fc.uniqueArray(fc.tuple(keyword, value), { selector: ([key]) => key, maxLength: 5 }), (pairs) => {
				const withText = insertPngText(png, Object.fromEntries(pairs));
				expect(new Map(parsePngText(withText, "x"))).toEqual(new Map(pairs));
			}),
		);
	});

	test("compressed and international chunks of other programs are read", async () => {
		const png = Buffer.from(await encodePng(noise(2, 2)));
		const utf8 = Buffer.from("猫 compressed");
		const added = Buffer.concat([
			png.subarray(0, 33),
			chunk("zTXt", Buffer.concat([Buffer.from("z\0\0"), deflateSync("latin é".normalize(), {})])),
			chunk("iTXt", Buffer.concat([Buffer.from("i\0\x01\0fr\0titre\0"), deflateSync(utf8)])),
			chunk("tEXt", Buffer.from("t\0first")),
			chunk("tEXt", Buffer.from("t\0second")),
			chunk("tEXt", Buffer.from("no separator")),
			png.subarray(33),
		]);
		const text = parsePngText(added, "x");
		expect(text.get("i")).toBe("猫 compressed");
		expect(text.get("t")).toBe("first");
		expect(text.get("z")).toBe(Buffer.from("latin é").toString("latin1"));
		expect(text.size).toBe(3);
	});

	test("a compressed text that unpacks to gigabytes is refused", async () => {
		const png = Buffer.from(await encodePng(noise(2, 2)));
		const bomb = chunk("zTXt", Buffer.concat([Buffer.from("z\0\0"), deflateSync(Buffer.alloc(2 ** 25))]));
		const bytes = Buffer.concat([png.subarray(0, 33), bomb, png.subarray(33)]);
		expect(() => parsePngText(bytes, "x.png")).toThrow("a compressed text in it is damaged or over the limit");
	});

	test.each(["", " a", "a ", "a  b", "猫", "a\nb", "k".repeat(80)])("refuses the keyword %j", async (key) => {
		const png = await encodePng(noise(2, 2));
		expect(() => insertPngText(png, { [key]: "text" })).toThrow("cannot be a PNG keyword");
		expect(() => insertPngText(png, { ok: "zero\0" })).toThrow("holds a zero byte");
	});

	test("damaged and cut files are sentences", async () => {
		const path = join(folder, "x.png");
		await writePng(path, noise(4, 4), { text: { key: "value", other: "猫" } });
		const whole = await readFile(path);
		const random = generator(1);
		const wrong: string[] = [];
		for (let i = 0; i < 2000; i++) {
			const bytes = Buffer.from(whole.subarray(0, random(3) === 0 ? random(whole.length) : whole.length));
			if (bytes.length === whole.length) bytes[random(bytes.length)]! ^= 1 << random(8);
			try {
				parsePngText(bytes, "x.png");
				wrong.push(`mutation ${i} was not noticed`);
			} catch (error) {
				const sentence = error instanceof DreamdistError && /^x\.png is not a valid PNG: [ -~]+$/.test(error.message);
				if (!sentence) wrong.push(String(error));
			}
		}
		expect(wrong).toEqual([]);
		await writeFile(path, "GIF89a");
		await expect(readPngText(path)).rejects.toThrow(`${path} is not a valid PNG: it does not begin as one`);
	});
});
