import { GLYPH_HEIGHT, GLYPH_WIDTH, glyph } from "./bitmap-font.js";
import { loadSharp } from "./sharp.js";

/** Drawn text: how much of each pixel is ink, 0 to 255, row-major. Blank text is 0×0. */
export interface Label {
	readonly width: number;
	readonly height: number;
	readonly ink: Uint8Array;
}

/** How `drawLabel` draws. */
export interface LabelOptions {
	/** Lines are broken to stay within this many pixels. */
	maxWidth: number;
	/** Text that needs more is cut and ends in "…". */
	maxHeight: number;
	/** Height of the font in pixels. */
	fontSize: number;
	/** Draw with the built-in font even where the system has others. */
	builtIn?: boolean;
}

const BLANK: Label = { width: 0, height: 0, ink: new Uint8Array(0) };

/** A label longer than this is cut before it is laid out. */
const MAX_CHARACTERS = 1000;

/**
 * Draws text with the system's sans-serif font, or with the built-in one where it has none. All white space counts as
 * single spaces; markup in the text is drawn as the characters it consists of.
 *
 * @returns a label of at most `maxWidth`×`maxHeight`, cropped to its ink
 */
export async function drawLabel(text: string, options: LabelOptions): Promise<Label> {
	const characters = [...plain(text)];
	if (characters.length === 0) return BLANK;
	const system = !options.builtIn && (await hasSystemFont());
	// Pango refuses a few texts, such as one of invisible characters only; a label is then still drawn.
	const draw = (part: string) =>
		system
			? drawWithSystemFont(part, options).catch(() => drawWithBuiltInFont(part, options))
			: drawWithBuiltInFont(part, options);
	const whole = characters.length <= MAX_CHARACTERS ? await draw(characters.join("")) : undefined;
	if (whole !== undefined && whole.height <= options.maxHeight) return clip(whole, options);
	// The longest beginning that fits, by bisection: `fits` always does, `tooLong` never.
	let best = await draw("…");
	let fits = 0;
	let tooLong = Math.min(characters.length, MAX_CHARACTERS + 1);
	while (tooLong - fits > 1) {
		const middle = (fits + tooLong) >> 1;
		const label = await draw(`${characters.slice(0, middle).join("").trimEnd()}…`);
		if (label.height <= options.maxHeight) {
			best = label;
			fits = middle;
		} else {
			tooLong = middle;
		}
	}
	return clip(best, options);
}

/** One line of characters that XML and the fonts can hold. */
function plain(text: string): string {
	// Through UTF-8, lone halves of surrogate pairs become U+FFFD.
	return Buffer.from(text, "utf8")
		.toString("utf8")
		.replace(/[\p{Cc}\p{Cn}\s]+/gu, " ")
		.trim();
}

let systemFont: Promise<boolean> | undefined;

/** Whether the system has a font at all: without one every character is drawn as the same box. */
function hasSystemFont(): Promise<boolean> {
	systemFont ??= (async () => {
		const options = { maxWidth: 100, maxHeight: 100, fontSize: 20 };
		const [narrow, wide] = [await drawWithSystemFont("i", options), await drawWithSystemFont("W", options)];
		return narrow.width !== wide.width;
	})().catch(() => false);
	return systemFont;
}

async function drawWithSystemFont(text: string, { maxWidth, fontSize }: LabelOptions): Promise<Label> {
	const sharp = await loadSharp();
	// At 72 dots per inch a point is a pixel.
	const { data, info } = await sharp({
		text: { text: escapeMarkup(text), font: `sans-serif ${fontSize}`, dpi: 72, width: maxWidth, wrap: "word-char" },
	})
		.raw()
		.toBuffer({ resolveWithObject: true });
	const ink = Uint8Array.from({ length: info.width * info.height }, (_, i) => data[i * info.channels]!);
	return { width: info.width, height: info.height, ink };
}

function escapeMarkup(text: string): string {
	return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

async function drawWithBuiltInFont(text: string, { maxWidth, fontSize }: LabelOptions): Promise<Label> {
	const scale = Math.max(1, Math.round(fontSize / 10));
	const advance = (GLYPH_WIDTH + 1) * scale;
	const leading = (GLYPH_HEIGHT + 2) * scale;
	const lines = breakLines(text.replaceAll("…", "..."), Math.max(1, Math.floor((maxWidth + scale) / advance)));
	const width = Math.max(...lines.map((line) => line.length)) * advance - scale;
	const height = lines.length * leading - 2 * scale;
	const ink = new Uint8Array(width * height);
	lines.forEach((line, l) => {
		line.forEach((character, c) => {
			const rows = glyph(character);
			for (let y = 0; y < GLYPH_HEIGHT * scale; y++) {
				for (let x = 0; x < GLYPH_WIDTH * scale; x++) {
					if (rows[Math.floor(y / scale)]![Math.floor(x / scale)] !== "#") continue;
					ink[(l * leading + y) * width + c * advance + x] = 255;
				}
			}
		});
	});
	return { width, height, ink };
}

/** Breaks text at spaces into lines of at most `columns` characters; a longer word is broken anywhere. */
function breakLines(text: string, columns: number): string[][] {
	const lines: string[][] = [[]];
	for (const word of text.split(" ")) {
		const line = lines.at(-1)!;
		const characters = [...word.normalize("NFC")];
		if (line.length > 0 && line.length + 1 + characters.length <= columns) {
			line.push(" ", ...characters);
			continue;
		}
		if (line.length > 0) lines.push([]);
		lines.at(-1)!.push(...characters.splice(0, columns));
		while (characters.length > 0) lines.push(characters.splice(0, columns));
	}
	return lines;
}

/** A single character can be wider or higher than all the room there is. */
function clip(label: Label, { maxWidth, maxHeight }: LabelOptions): Label {
	const width = Math.min(label.width, maxWidth);
	const height = Math.min(label.height, maxHeight);
	if (width === label.width && height === label.height) return label;
	const ink = new Uint8Array(width * height);
	for (let y = 0; y < height; y++) {
		ink.set(label.ink.subarray(y * label.width, y * label.width + width), y * width);
	}
	return { width, height, ink };
}
