// The ways a picture is cut to size, enumerated: so that what the autoencoder makes of each can be kept.
import { cropImage, resizeShorterSide } from "../../data/image/framing.js";
import type { ImageU8 } from "../../data/image/image.js";
import type { ResizeFilter } from "../../data/image/resample.js";
import { resizeImage } from "../../data/image/resize.js";
import { ArgumentError } from "../../errors.js";

export interface AugmentationOptions {
	/** Width and height in pixels. */
	readonly size: readonly [width: number, height: number];
	/** "random": one of several places along the longer side; "center": the middle. */
	readonly crop: "random" | "center";
	/** Half of the pictures are mirrored. */
	readonly flip: boolean;
	readonly filter: ResizeFilter;
}

/** One way of cutting a picture. */
export interface Augmentation {
	readonly left: number;
	readonly top: number;
	readonly flipped: boolean;
}

/** Places of a crop along one side. */
const PLACES = 8;

/** A picture whose sides differ by more than this factor is a strip, of which a crop shows nothing. */
const MAX_ASPECT = 20;

/** Enlarges or reduces so that the picture just covers the size. A square takes torchvision's rounding. */
export function coverSize(image: ImageU8, options: AugmentationOptions): ImageU8 {
	const [width, height] = options.size;
	const aspect = Math.max(image.width / image.height, image.height / image.width);
	if (aspect > MAX_ASPECT)
		throw new ArgumentError(
			`its sides ${image.width}×${image.height} differ by more than ${MAX_ASPECT} times; cut it first`,
		);
	if (width === height) return resizeShorterSide(image, width, options.filter);
	const scale = Math.max(width / image.width, height / image.height);
	const side = (length: number, least: number) => Math.max(least, Math.round(length * scale));
	return resizeImage(image, side(image.width, width), side(image.height, height), options.filter);
}

/** Every way of cutting a picture of these sides, which covers the size. */
export function augmentations(width: number, height: number, options: AugmentationOptions): Augmentation[] {
	const places = (margin: number): number[] => {
		if (options.crop === "center" || margin === 0) return [Math.round(margin / 2)];
		const count = Math.min(PLACES, margin + 1);
		return Array.from({ length: count }, (_, i) => Math.round((i * margin) / (count - 1)));
	};
	const all: Augmentation[] = [];
	for (const top of places(height - options.size[1]))
		for (const left of places(width - options.size[0]))
			for (const flipped of options.flip ? [false, true] : [false]) all.push({ left, top, flipped });
	return all;
}

/** Cuts a covering picture. */
export function augment(image: ImageU8, augmentation: Augmentation, options: AugmentationOptions): ImageU8 {
	const cut = cropImage(image, augmentation.left, augmentation.top, ...options.size);
	return augmentation.flipped ? mirrored(cut) : cut;
}

function mirrored(image: ImageU8): ImageU8 {
	const { width, height } = image;
	const data = new Uint8Array(image.data.length);
	for (let y = 0; y < height; y++)
		for (let x = 0; x < width; x++) {
			const from = (y * width + x) * 3;
			data.set(image.data.subarray(from, from + 3), (y * width + width - 1 - x) * 3);
		}
	return { ...image, data };
}
