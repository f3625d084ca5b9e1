// Changes of colour, byte for byte as Pillow's ImageOps and ImageEnhance.
import type { ImageU8 } from "@dreamdist/core";

/** Every byte through a table. */
function mapBytes(image: ImageU8, table: ArrayLike<number>): ImageU8 {
	return { ...image, data: Uint8Array.from(image.data, (byte) => table[byte]!) };
}

const tableOf = (value: (byte: number) => number) => Array.from({ length: 256 }, (_, byte) => value(byte));

export const invert = (image: ImageU8): ImageU8 =>
	mapBytes(
		image,
		tableOf((byte) => 255 - byte),
	);

/** Inverts what is not below the threshold. */
export const solarize = (image: ImageU8, threshold: number): ImageU8 =>
	mapBytes(
		image,
		tableOf((byte) => (byte < threshold ? byte : 255 - byte)),
	);

/** Adds to what is below 128. */
export const solarizeAdd = (image: ImageU8, amount: number): ImageU8 =>
	mapBytes(
		image,
		tableOf((byte) => (byte < 128 ? Math.min(255, byte + amount) : byte)),
	);

/** Keeps the upper `bits`; none leaves black. */
export const posterize = (image: ImageU8, bits: number): ImageU8 =>
	mapBytes(
		image,
		tableOf((byte) => (bits >= 8 ? byte : byte & ~(2 ** (8 - bits) - 1))),
	);

/** Each channel through a table made from its histogram. */
function byHistogram(image: ImageU8, tableFor: (histogram: Int32Array) => number[]): ImageU8 {
	const data = new Uint8Array(image.data.length);
	for (let channel = 0; channel < 3; channel++) {
		const histogram = new Int32Array(256);
		for (let i = channel; i < data.length; i += 3) histogram[image.data[i]!]!++;
		const table = tableFor(histogram);
		for (let i = channel; i < data.length; i += 3) data[i] = table[image.data[i]!]!;
	}
	return { ...image, data };
}

const unchanged = () => tableOf((byte) => byte);

/** Stretches each channel so that its darkest byte becomes 0 and its brightest 255. */
export const autoContrast = (image: ImageU8): ImageU8 =>
	byHistogram(image, (histogram) => {
		const low = histogram.findIndex((count) => count > 0);
		const high = histogram.findLastIndex((count) => count > 0);
		if (high <= low) return unchanged();
		const scale = 255 / (high - low);
		const offset = -low * scale;
		return tableOf((byte) => Math.min(255, Math.max(0, Math.trunc(byte * scale + offset))));
	});

/** Makes each channel's histogram even. */
export const equalize = (image: ImageU8): ImageU8 =>
	byHistogram(image, (histogram) => {
		const counts = histogram.filter((count) => count > 0);
		const step = Math.floor((counts.reduce((a, b) => a + b, 0) - (counts.at(-1) ?? 0)) / 255);
		if (counts.length <= 1 || step === 0) return unchanged();
		let total = Math.floor(step / 2);
		return Array.from(histogram, (count) => {
			const value = Math.min(255, Math.floor(total / step));
			total += count;
			return value;
		});
	});

/** degenerate + factor·(image − degenerate) in float32, clamped and truncated. */
function blend(image: ImageU8, factor: number, degenerate: (index: number) => number): ImageU8 {
	const alpha = Math.fround(factor);
	const data = image.data.map((byte, i) => {
		if (alpha === 1) return byte;
		const from = degenerate(i);
		return Math.min(255, Math.max(0, Math.fround(from + Math.fround(alpha * (byte - from)))));
	});
	return { ...image, data };
}

/** Pillow's mode L. */
function luma(image: ImageU8): Uint8Array {
	const { data } = image;
	return Uint8Array.from(
		{ length: data.length / 3 },
		(_, i) => (19595 * data[3 * i]! + 38470 * data[3 * i + 1]! + 7471 * data[3 * i + 2]! + 32768) >>> 16,
	);
}

/** Away from grey: 0 is a grey picture, 1 the picture itself. */
export function enhanceColour(image: ImageU8, factor: number): ImageU8 {
	const grey = luma(image);
	return blend(image, factor, (i) => grey[Math.floor(i / 3)]!);
}

/** Away from the mean grey. */
export function enhanceContrast(image: ImageU8, factor: number): ImageU8 {
	const grey = luma(image);
	const mean = Math.trunc(grey.reduce((sum, byte) => sum + byte, 0) / grey.length + 0.5);
	return blend(image, factor, () => mean);
}

/** Away from black. */
export const enhanceBrightness = (image: ImageU8, factor: number): ImageU8 => blend(image, factor, () => 0);

/** Away from the picture smoothed by (1 1 1, 1 5 1, 1 1 1) / 13; its border is not smoothed. */
export function enhanceSharpness(image: ImageU8, factor: number): ImageU8 {
	const { width, height, data } = image;
	const smooth = data.slice();
	const row = 3 * width;
	for (let y = 1; y < height - 1; y++)
		for (let i = y * row + 3; i < (y + 1) * row - 3; i++) {
			let sum = 4 * data[i]!;
			for (const line of [i - row, i, i + row]) sum += data[line - 3]! + data[line]! + data[line + 3]!;
			smooth[i] = Math.min(255, Math.trunc(sum / 13 + 0.5));
		}
	return blend(image, factor, (i) => smooth[i]!);
}
