import { ArgumentError } from "../../errors.js";
import { checkImage, checkSize, type ImageU8 } from "./image.js";
import type { ResizeFilter } from "./resample.js";
import { resizeImage } from "./resize.js";

/**
 * Resizes so that the shorter side becomes `side`; the longer one becomes ⌊side · longer / shorter⌋, as in torchvision's
 * `Resize`.
 */
export function resizeShorterSide(image: ImageU8, side: number, filter: ResizeFilter = "bicubic"): ImageU8 {
	checkImage(image);
	checkSize(side, side);
	const { width, height } = image;
	const longer = Math.floor((side * Math.max(width, height)) / Math.min(width, height));
	return width <= height ? resizeImage(image, side, longer, filter) : resizeImage(image, longer, side, filter);
}

/** Cuts out `width`×`height` pixels from (`left`, `top`) on; all of them must lie inside the picture. */
export function cropImage(image: ImageU8, left: number, top: number, width: number, height: number): ImageU8 {
	checkImage(image);
	checkSize(width, height);
	const inside = left >= 0 && top >= 0 && left + width <= image.width && top + height <= image.height;
	if (!inside || !Number.isInteger(left) || !Number.isInteger(top)) {
		throw new ArgumentError(
			`a crop of ${width}×${height} at (${left}, ${top}) is not inside a picture of ${image.width}×${image.height}`,
		);
	}
	const data = new Uint8Array(width * height * 3);
	for (let y = 0; y < height; y++) {
		const at = ((top + y) * image.width + left) * 3;
		data.set(image.data.subarray(at, at + width * 3), y * width * 3);
	}
	return { width, height, channels: 3, data };
}

/**
 * The middle `width`×`height` pixels. Where the margins cannot be equal, the offset is (size − crop) / 2 rounded to the
 * even neighbour, as in torchvision's `CenterCrop`.
 */
export function centerCrop(image: ImageU8, width: number, height: number = width): ImageU8 {
	return cropImage(image, centerOffset(image.width - width), centerOffset(image.height - height), width, height);
}

function centerOffset(margin: number): number {
	const lower = Math.floor(margin / 2);
	return margin % 2 === 0 || lower % 2 === 0 ? lower : lower + 1;
}
