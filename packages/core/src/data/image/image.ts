import { ArgumentError } from "../../errors.js";

/** A picture in memory: 8-bit sRGB, rows from the top, pixels from the left, the three channels of a pixel together. */
export interface ImageU8 {
	readonly width: number;
	readonly height: number;
	readonly channels: 3;
	/** `height · width · 3` bytes. */
	readonly data: Uint8Array;
}

/** A picture of more pixels than this (a square of 16,384) is never made, so that a typing error cannot fill the memory. */
export const MAX_IMAGE_PIXELS = 2 ** 28;

/**
 * Makes a picture of one colour, black unless told otherwise.
 *
 * @throws ArgumentError when a side is not a whole number from 1 on, or the picture would exceed `MAX_IMAGE_PIXELS`
 */
export function createImage(
	width: number,
	height: number,
	colour: readonly [red: number, green: number, blue: number] = [0, 0, 0],
): ImageU8 {
	checkSize(width, height);
	const data = new Uint8Array(width * height * 3);
	if (colour.some((value) => value !== 0)) {
		for (let i = 0; i < data.length; i += 3) data.set(colour, i);
	}
	return { width, height, channels: 3, data };
}

/** Copies `image` into `target` with its top left corner at (`left`, `top`), where it must fit. */
export function pasteImage(target: ImageU8, image: ImageU8, left: number, top: number): void {
	checkImage(image);
	const inside = left >= 0 && top >= 0 && left + image.width <= target.width && top + image.height <= target.height;
	if (!inside || !Number.isInteger(left) || !Number.isInteger(top)) {
		throw new ArgumentError(
			`a picture of ${image.width}×${image.height} does not fit at (${left}, ${top}) of one of ${target.width}×${target.height}`,
		);
	}
	const row = image.width * 3;
	for (let y = 0; y < image.height; y++) {
		target.data.set(image.data.subarray(y * row, (y + 1) * row), ((top + y) * target.width + left) * 3);
	}
}

/** @throws ArgumentError when no picture can have these sides */
export function checkSize(width: number, height: number): void {
	if (!Number.isInteger(width) || !Number.isInteger(height) || width < 1 || height < 1) {
		throw new ArgumentError(`a picture cannot be ${width}×${height}; both sides must be whole numbers from 1 on`);
	}
	if (width * height > MAX_IMAGE_PIXELS) {
		throw new ArgumentError(`a picture of ${width}×${height} is over the limit of ${MAX_IMAGE_PIXELS} pixels`);
	}
}

/** @throws ArgumentError when the data of a picture do not fit its sides */
export function checkImage(image: ImageU8): void {
	checkSize(image.width, image.height);
	const expected = image.width * image.height * 3;
	if (image.channels !== 3 || image.data.length !== expected) {
		throw new ArgumentError(
			`a picture of ${image.width}×${image.height} with 3 channels has ${expected} bytes, but this one has ` +
				`${image.channels} channels and ${image.data.length} bytes`,
		);
	}
}
