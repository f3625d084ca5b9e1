import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { glyph } from "../../src/data/image/bitmap-font.js";
import { type ContactSheet, contactSheet, type Rectangle } from "../../src/data/image/contact-sheet.js";
import { createImage, type ImageU8 } from "../../src/data/image/image.js";
import { drawLabel } from "../../src/data/image/label.js";

const rectangles = (sheet: ContactSheet): Rectangle[] =>
	[...sheet.pictures.flat(), ...sheet.columnLabels, ...sheet.rowLabels].filter(
		(r) => r !== undefined && r.width > 0,
	) as Rectangle[];

function expectSeparate(sheet: ContactSheet): void {
	const all = rectangles(sheet);
	for (const [i, a] of all.entries()) {
		expect(a.left >= 0 && a.top >= 0).toBe(true);
		expect(a.left + a.width <= sheet.image.width && a.top + a.height <= sheet.image.height).toBe(true);
		for (const b of all.slice(i + 1)) {
			const apart =
				a.left + a.width <= b.left ||
				b.left + b.width <= a.left ||
				a.top + a.height <= b.top ||
				b.top + b.height <= a.top;
			expect(apart, JSON.stringify([a, b])).toBe(true);
		}
	}
}

/** The darkest and lightest red value in a rectangle. */
function range(image: ImageU8, { left, top, width, height }: Rectangle): [number, number] {
	let low = 255;
	let high = 0;
	for (let y = top; y < top + height; y++) {
		for (let x = left; x < left + width; x++) {
			const value = image.data[(y * image.width + x) * 3]!;
			low = Math.min(low, value);
			high = Math.max(high, value);
		}
	}
	return [low, high];
}

describe("contactSheet", () => {
	test("pictures lie where it says, unchanged, with the stated sizes", async () => {
		const rows = [
			[createImage(20, 10, [10, 0, 0]), createImage(20, 10, [20, 0, 0])],
			[createImage(20, 10, [30, 0, 0]), undefined],
		];
		const sheet = await contactSheet(rows, { gap: 4 });
		expect([sheet.image.width, sheet.image.height]).toEqual([4 + 2 * 24, 4 + 2 * 14]);
		expect(sheet.pictures).toEqual([
			[
				{ left: 4, top: 4, width: 20, height: 10 },
				{ left: 28, top: 4, width: 20, height: 10 },
			],
			[{ left: 4, top: 18, width: 20, height: 10 }, undefined],
		]);
		expect(sheet.pictures.flat().map((r) => r && range(sheet.image, r))).toEqual([
			[10, 10],
			[20, 20],
			[30, 30],
			undefined,
		]);
		// Everything else is background.
		const painted = sheet.image.data.filter((byte, i) => i % 3 === 0 && byte !== 255).length;
		expect(painted).toBe(3 * 200);
	});

	test("larger pictures are reduced in proportion, smaller ones centred", async () => {
		const rows = [[createImage(100, 50, [9, 9, 9]), createImage(10, 10, [9, 9, 9])]];
		const sheet = await contactSheet(rows, { cellWidth: 40, cellHeight: 40, gap: 0 });
		expect(sheet.pictures[0]).toEqual([
			{ left: 0, top: 10, width: 40, height: 20 },
			{ left: 55, top: 15, width: 10, height: 10 },
		]);
	});

	test("labels have ink, and nothing overlaps, whatever they say", async () => {
		const label = fc.oneof(
			fc.string({ unit: "binary", maxLength: 60 }),
			fc.lorem({ maxCount: 30 }),
			fc.constantFrom(
				"",
				"   ",
				"<b>&amp;</b>",
				"]]>",
				'"quoted"',
				"W".repeat(300),
				"猫の写真 é Ω",
				"\u200b",
				"\ud800",
			),
		);
		await fc.assert(
			fc.asyncProperty(
				fc.array(
					fc.array(fc.option(fc.constantFrom([8, 8], [60, 30], [30, 90]), { nil: undefined }), {
						minLength: 1,
						maxLength: 3,
					}),
					{
						minLength: 1,
						maxLength: 3,
					},
				),
				fc.array(label, { minLength: 6, maxLength: 6 }),
				fc.integer({ min: 0, max: 10 }),
				fc.integer({ min: 6, max: 30 }),
				async (sizes, labels, gap, fontSize) => {
					const rows = sizes.map((row) => row.map((size) => size && createImage(size[0]!, size[1]!, [128, 128, 128])));
					rows[0]![0] ??= createImage(5, 5);
					const columns = Math.max(...rows.map((row) => row.length));
					const sheet = await contactSheet(rows, {
						columnLabels: labels.slice(0, columns),
						rowLabels: labels.slice(3, 3 + rows.length),
						gap,
						fontSize,
					});
					expectSeparate(sheet);
					for (const rectangle of [...sheet.columnLabels, ...sheet.rowLabels]) {
						// The frame of a character that no font has is pale in 6 pixels.
						if (rectangle.width > 0) expect(range(sheet.image, rectangle)[0]).toBeLessThan(230);
					}
				},
			),
			{ numRuns: 30 },
		);
	});

	test.each([
		[[[]], {}, "needs at least one picture"],
		[[[createImage(2, 2)]], { columnLabels: ["a", "b"] }, "of 1 columns needs as many column labels, not 2"],
		[[[createImage(2, 2)]], { rowLabels: [] }, "of 1 rows needs as many row labels, not 0"],
		[[[createImage(2, 2)]], { cellWidth: 0 }, "cellWidth of a contact sheet must be a whole number from 1"],
		[[[createImage(2, 2)]], { gap: 1.5 }, "gap of a contact sheet must be a whole number from 0"],
	])("refuses %#", async (rows, options, message) => {
		await expect(contactSheet(rows, options)).rejects.toThrow(message);
	});
});

describe.each([{ builtIn: true }, { builtIn: false }])("drawLabel %o", (font) => {
	const room = { maxWidth: 80, maxHeight: 60, fontSize: 12, ...font };
	const same = (a: { ink: Uint8Array; width: number }, b: { ink: Uint8Array; width: number }) =>
		a.width === b.width && Buffer.from(a.ink).equals(b.ink);

	test("breaks lines, and cuts with an ellipsis what has no room", async () => {
		const short = await drawLabel("word", room);
		const broken = await drawLabel("several words that need more lines", room);
		expect(broken.height).toBeGreaterThan(short.height * 1.8);
		expect(broken.width).toBeLessThanOrEqual(80);
		const cut = await drawLabel("word ".repeat(400), room);
		expect(cut.height).toBeLessThanOrEqual(60);
		expect(cut.height).toBeGreaterThan(60 - 20);
		expect(same(cut, await drawLabel("word ".repeat(500), room))).toBe(true);
	});

	test("markup is drawn as characters", async () => {
		const escaped = await drawLabel("<b>x</b>", room);
		expect(same(escaped, await drawLabel("x", room))).toBe(false);
		expect(same(await drawLabel("&lt;", room), await drawLabel("<", room))).toBe(false);
	});

	test("different characters look different, white space does not count, blank is nothing", async () => {
		expect(same(await drawLabel("i", room), await drawLabel("w", room))).toBe(false);
		expect(same(await drawLabel(" a\n\tb ", room), await drawLabel("a b", room))).toBe(true);
		expect(await drawLabel(" \n ", room)).toEqual({ width: 0, height: 0, ink: new Uint8Array(0) });
	});

	test("never exceeds the room, however small", async () => {
		for (const text of ["W", "WWW WWW", "…"]) {
			const label = await drawLabel(text, { maxWidth: 3, maxHeight: 2, fontSize: 30, ...font });
			expect(label.width <= 3 && label.height <= 2 && label.ink.length === label.width * label.height).toBe(true);
		}
	});
});

describe("the built-in font", () => {
	test("every printable ASCII character has its own glyph; others are a box, accents left off", () => {
		const ascii = Array.from({ length: 95 }, (_, i) => glyph(String.fromCharCode(32 + i)).join("\n"));
		expect(new Set(ascii).size).toBe(95);
		expect(ascii.every((rows) => /^([.#]{5}\n){7}[.#]{5}$/.test(rows))).toBe(true);
		expect(glyph("é")).toEqual(glyph("e"));
		expect(glyph("猫")).toEqual(glyph("\x7f"));
		expect(ascii).not.toContain(glyph("猫").join("\n"));
	});

	test("reads as the letters it stands for", async () => {
		const { width, height, ink } = await drawLabel("Dg", { maxWidth: 99, maxHeight: 99, fontSize: 10, builtIn: true });
		const rows = Array.from({ length: height }, (_, y) =>
			Array.from({ length: width }, (_, x) => (ink[y * width + x] ? "#" : ".")).join(""),
		);
		expect(rows).toEqual([
			"###........",
			"#..#.......",
			"#...#..####",
			"#...#.#...#",
			"#...#.#...#",
			"#..#...####",
			"###.......#",
			".......###.",
		]);
	});
});
