import { ArgumentError } from "../../errors.js";
import { checkImage, checkSize, type ImageU8 } from "./image.js";
import {
	FRACTION_BITS,
	fixedPointWeights,
	RESIZE_FILTERS,
	type ResizeFilter,
	resampleTaps,
	type Taps,
} from "./resample.js";

/**
 * Resizes a picture with antialiasing, byte for byte as Pillow's `Image.resize`: a horizontal and a vertical pass in 22-bit
 * fixed point, each rounded to 8 bits; an axis that keeps its length is not touched.
 */
export function resizeImage(image: ImageU8, width: number, height: number, filter: ResizeFilter = "bicubic"): ImageU8 {
	checkImage(image);
	checkSize(width, height);
	checkSize(width, image.height);
	checkFilter(filter);
	let data = image.data;
	if (width !== image.width) data = resizeRows(data, image.width, image.height, width, filter);
	if (height !== image.height) data = resizeColumns(data, width, image.height, height, filter);
	return { width, height, channels: 3, data: data === image.data ? data.slice() : data };
}

const HALF = 1 << (FRACTION_BITS - 1);

function clampByte(sum: number): number {
	return Math.max(0, Math.min(255, sum >> FRACTION_BITS));
}

function resizeRows(source: Uint8Array, from: number, height: number, to: number, filter: ResizeFilter): Uint8Array {
	const taps = resampleTaps(from, to, filter);
	const weights = fixedPointWeights(taps);
	const target = new Uint8Array(to * height * 3);
	let out = 0;
	for (let y = 0; y < height; y++) {
		for (let x = 0; x < to; x++) {
			let at = (y * from + taps.first[x]!) * 3;
			const begin = x * taps.width;
			const end = begin + taps.count[x]!;
			let red = HALF;
			let green = HALF;
			let blue = HALF;
			for (let k = begin; k < end; k++, at += 3) {
				const weight = weights[k]!;
				red = (red + source[at]! * weight) | 0;
				green = (green + source[at + 1]! * weight) | 0;
				blue = (blue + source[at + 2]! * weight) | 0;
			}
			target[out++] = clampByte(red);
			target[out++] = clampByte(green);
			target[out++] = clampByte(blue);
		}
	}
	return target;
}

function resizeColumns(source: Uint8Array, width: number, from: number, to: number, filter: ResizeFilter): Uint8Array {
	const taps = resampleTaps(from, to, filter);
	const weights = fixedPointWeights(taps);
	const row = width * 3;
	const target = new Uint8Array(row * to);
	const sums = new Int32Array(row);
	for (let y = 0; y < to; y++) {
		sums.fill(HALF);
		for (let k = 0; k < taps.count[y]!; k++) {
			const weight = weights[y * taps.width + k]!;
			const at = (taps.first[y]! + k) * row;
			for (let x = 0; x < row; x++) sums[x]! += source[at + x]! * weight;
		}
		for (let x = 0; x < row; x++) target[y * row + x] = clampByte(sums[x]!);
	}
	return target;
}

/** Rows of pixels as floats: `height · width · channels` numbers, the channels of a pixel together. */
export interface ImageF32 {
	readonly width: number;
	readonly height: number;
	readonly channels: number;
	readonly data: Float32Array;
}

/**
 * Resizes floats with antialiasing, as Pillow does in mode F (one channel at a time): sums in double, rounded to float32
 * after each of the two passes. Values are not clamped; cubic and Lanczos kernels overshoot. This is clean-fid's resizing.
 */
export function resizeF32(image: ImageF32, width: number, height: number, filter: ResizeFilter = "bicubic"): ImageF32 {
	const { channels } = image;
	checkSize(image.width, image.height);
	checkSize(width, height);
	checkSize(width, image.height);
	checkFilter(filter);
	if (!Number.isInteger(channels) || channels < 1 || image.data.length !== image.width * image.height * channels) {
		throw new ArgumentError(
			`a picture of ${image.width}×${image.height} with ${channels} channels does not have ${image.data.length} numbers`,
		);
	}
	let data = image.data;
	if (width !== image.width) {
		const taps = resampleTaps(image.width, width, filter);
		data = resampleAxis(data, image.height, image.width, width, channels, taps);
	}
	if (height !== image.height) {
		const taps = resampleTaps(image.height, height, filter);
		data = resampleAxis(data, 1, image.height, height, width * channels, taps);
	}
	return { width, height, channels, data: data === image.data ? data.slice() : data };
}

/** Resizes the middle axis of [outer, from, inner] to [outer, to, inner]. */
function resampleAxis(
	source: Float32Array,
	outer: number,
	from: number,
	to: number,
	inner: number,
	taps: Taps,
): Float32Array {
	const target = new Float32Array(outer * to * inner);
	const sums = new Float64Array(inner);
	for (let o = 0; o < outer; o++) {
		for (let i = 0; i < to; i++) {
			sums.fill(0);
			for (let k = 0; k < taps.count[i]!; k++) {
				const weight = taps.weights[i * taps.width + k]!;
				const at = (o * from + taps.first[i]! + k) * inner;
				for (let c = 0; c < inner; c++) sums[c]! += source[at + c]! * weight;
			}
			target.set(sums, (o * to + i) * inner);
		}
	}
	return target;
}

function checkFilter(filter: string): void {
	if (!RESIZE_FILTERS.includes(filter as ResizeFilter)) {
		throw new ArgumentError(
			`there is no resize filter ${JSON.stringify(filter)}; known are ${RESIZE_FILTERS.join(", ")}`,
		);
	}
}
