import type { Metadata } from "sharp";
import { ArgumentError, FormatError } from "../../errors.js";
import { readWholeFile } from "../file-system.js";
import type { ImageU8 } from "./image.js";
import { loadSharp } from "./sharp.js";

/** How a picture file becomes pixels. */
export interface DecodeOptions {
	/** The colour that shows through transparent pixels; white unless told otherwise. */
	background?: readonly [red: number, green: number, blue: number];
	/**
	 * A file whose header claims more pixels than this is refused before anything is decoded, since a few kilobytes can
	 * stand for gigabytes of them. 100 million unless told otherwise.
	 */
	maxPixels?: number;
}

const DEFAULT_MAX_PIXELS = 100_000_000;

/** A file larger than this is not a picture that anyone means to train on. */
const MAX_FILE = 2 ** 30;

/** The formats that are decoded, as sharp names them. Vector formats are left out: their size in pixels is arbitrary. */
const FORMATS = new Set(["jpeg", "png", "webp", "heif", "tiff", "gif"]);
const FORMAT_NAMES = "JPEG, PNG, WebP, AVIF, TIFF or GIF";

/**
 * Reads a picture file: the orientation that the camera noted is applied, colours are converted to sRGB (by the embedded
 * profile where there is one), 16-bit samples are reduced to 8, transparency is flattened on `background`; of an animation
 * the first frame is taken.
 *
 * @throws FileError when it cannot be read; FormatError `BAD_IMAGE`, naming the file, when it is not a picture, is damaged,
 * cut off, or larger than allowed
 */
export async function readImage(path: string, options: DecodeOptions = {}): Promise<ImageU8> {
	return decodeImage(await readWholeFile(path, MAX_FILE), path, options);
}

/**
 * Decodes a picture from the bytes of its file, as `readImage` does.
 *
 * @param name what to call the picture in errors
 */
export async function decodeImage(bytes: Uint8Array, name: string, options: DecodeOptions = {}): Promise<ImageU8> {
	const { background = [255, 255, 255], maxPixels = DEFAULT_MAX_PIXELS } = options;
	if (!Number.isSafeInteger(maxPixels) || maxPixels < 1) {
		throw new ArgumentError(`maxPixels must be a whole number from 1 on, not ${maxPixels}`);
	}
	if (bytes.byteLength === 0) throw bad(name, "the file is empty");
	const sharp = await loadSharp();
	const [r, g, b] = background;
	try {
		const input = sharp(bytes, { failOn: "error", limitInputPixels: maxPixels, animated: false });
		checkHeader(await input.metadata(), name, maxPixels);
		const { data, info } = await input
			.autoOrient()
			.flatten({ background: { r, g, b } })
			.toColourspace("srgb")
			.raw({ depth: "uchar" })
			.toBuffer({ resolveWithObject: true });
		if ((info.channels as number) !== 3) throw bad(name, `it has ${info.channels} channels after conversion to sRGB`);
		return {
			width: info.width,
			height: info.height,
			channels: 3,
			data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
		};
	} catch (error) {
		if (error instanceof FormatError || !(error instanceof Error)) throw error;
		throw bad(name, explain(error.message, bytes, maxPixels), error);
	}
}

function checkHeader(metadata: Metadata, name: string, maxPixels: number): void {
	if (!FORMATS.has(metadata.format)) {
		throw bad(name, `it is ${metadata.format.toUpperCase()}, not ${FORMAT_NAMES}`);
	}
	if (metadata.width * metadata.height > maxPixels) {
		const size = `${metadata.width}×${metadata.height}`;
		throw bad(name, `its ${size} pixels are over the limit of ${maxPixels}; resize it first`);
	}
}

/** The decoder's report (several lines, with its internals) as the end of a sentence. */
function explain(report: string, bytes: Uint8Array, maxPixels: number): string {
	if (/exceeds pixel limit/i.test(report)) return `it has more than ${maxPixels} pixels, the limit; resize it first`;
	const brand = String.fromCharCode(...bytes.subarray(4, 12));
	if (/^ftyp(heic|heix|hevc|mif1|msf1)/.test(brand))
		return "it is HEIC, which cannot be decoded here; convert it to JPEG";
	if (/unsupported image format/i.test(report)) return `it is not ${FORMAT_NAMES}`;
	const lines = report.split(/\n+/).map((line) => line.replace(/^Input buffer has corrupt header:/, "").trim());
	// The first line tells the cause; those of "source" only report the decoder looking for more data.
	const cause = lines.find((line) => line !== "" && !line.startsWith("source:")) ?? "its header is incomplete";
	return `it is damaged or was cut off (${printable(cause).slice(0, 160)})`;
}

function printable(text: string): string {
	return text.replace(/[^\x20-\x7e]+/g, " ").replace(/[.\s]+$/, "");
}

function bad(name: string, reason: string, cause?: Error): FormatError {
	const options = cause === undefined ? undefined : { cause };
	return new FormatError("BAD_IMAGE", name, `${name} cannot be decoded as a picture: ${reason}`, options);
}
