import { FormatError } from "../../errors.js";
import { writeFileAtomic } from "../atomic.js";
import { readWholeFile } from "../file-system.js";
import { checkImage, type ImageU8 } from "./image.js";
import { insertPngText, parsePngText } from "./png-text.js";
import { loadSharp } from "./sharp.js";

/** What a PNG carries besides its pixels. */
export interface PngOptions {
	/** Text chunks by keyword. Image viewers show them, and `readPngText` gives them back. */
	text?: Readonly<Record<string, string>>;
	/** Everything needed to make the picture again; stored as JSON under the keyword `dreamdist`. */
	recipe?: unknown;
}

/** The keyword of the text chunk that holds a recipe. */
export const RECIPE_KEYWORD = "dreamdist";

const MAX_FILE = 2 ** 30;

/** A picture as the bytes of a PNG file: 8-bit RGB, lossless. */
export async function encodePng(image: ImageU8, options: PngOptions = {}): Promise<Uint8Array> {
	checkImage(image);
	const sharp = await loadSharp();
	const { width, height, channels } = image;
	const png = await sharp(image.data, { raw: { width, height, channels }, limitInputPixels: false }).png().toBuffer();
	const text = { ...options.text };
	if (options.recipe !== undefined) text[RECIPE_KEYWORD] = JSON.stringify(options.recipe);
	return insertPngText(png, text);
}

/** Writes a picture as a PNG file, whole or not at all (see `writeFileAtomic`). */
export async function writePng(path: string, image: ImageU8, options: PngOptions = {}): Promise<void> {
	await writeFileAtomic(path, await encodePng(image, options));
}

/** The text chunks of a PNG file, by keyword. */
export async function readPngText(path: string): Promise<Map<string, string>> {
	return parsePngText(await readWholeFile(path, MAX_FILE), path);
}

/** The recipe in a PNG file, as it was given to `writePng`, or undefined where it has none. */
export async function readPngRecipe(path: string): Promise<unknown> {
	const json = (await readPngText(path)).get(RECIPE_KEYWORD);
	if (json === undefined) return undefined;
	try {
		return JSON.parse(json) as unknown;
	} catch (error) {
		throw new FormatError(
			"BAD_PNG",
			path,
			`the recipe in ${path} is not JSON; the file was changed by another program`,
			{
				cause: error,
			},
		);
	}
}
