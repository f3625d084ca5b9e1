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
	/** The middle of the picture is shown smaller, on grey, or larger and cut, as Custom Diffusion does. Default false. */
	readonly zoom?: boolean;
}

/** One way of cutting a picture. */
export interface Augmentation {
	/** Where the cut begins in the picture; zoomed out, where the picture begins on the grey. */
	readonly left: number;
	readonly top: number;
	readonly flipped: boolean;
	/** Size at which it is shown, of the size asked for: below 1 on grey, above 1 cut. Absent: it is not zoomed. */
	readonly zoom?: number;
}

/** Places of a crop along one side. */
const PLACES = 8;

/** A picture whose sides differ by more than this factor is a strip, of which a crop shows nothing. */
const MAX_ASPECT = 20;

/** Sizes at which zoomed pictures are shown: from a third to the whole, and from 1.2 to 1.4 times. */
const SMALLER = [1 / 3, 0.43, 0.52, 0.62, 0.71, 0.81, 0.9, 1];
const LARGER = [1.2, 1.3, 1.4];
/** The middle between black and white. */
const GREY = 128;

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
	if (options.zoom) return zooms(options);
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

/** Smaller ones first; each at the corners, the middles of the sides and the middle. */
function zooms({ size, flip }: AugmentationOptions): Augmentation[] {
	return [...SMALLER, ...LARGER].flatMap((zoom) => {
		const [across, down] = size.map((side) => {
			const margin = Math.abs(zoomedSide(side, zoom) - side);
			return [...new Set([0, Math.round(margin / 2), margin])];
		}) as [number[], number[]];
		return down.flatMap((top) =>
			across.flatMap((left) => (flip ? [false, true] : [false]).map((flipped) => ({ left, top, flipped, zoom }))),
		);
	});
}

const zoomedSide = (side: number, zoom: number) => Math.max(1, Math.round(side * zoom));

/** The area that a zoomed-out picture takes of its size, in pixels. */
export function zoomedArea({ left, top, zoom = 1 }: Augmentation, size: readonly [number, number]) {
	if (zoom > 1) return { left: 0, top: 0, width: size[0], height: size[1] };
	return { left, top, width: zoomedSide(size[0], zoom), height: zoomedSide(size[1], zoom) };
}

function zoomed(image: ImageU8, { left, top, zoom = 1 }: Augmentation, options: AugmentationOptions): ImageU8 {
	const [width, height] = options.size;
	const middle = cropImage(
		image,
		Math.round((image.width - width) / 2),
		Math.round((image.height - height) / 2),
		width,
		height,
	);
	const shown = resizeImage(middle, zoomedSide(width, zoom), zoomedSide(height, zoom), options.filter);
	if (zoom > 1) return cropImage(shown, left, top, width, height);
	const data = new Uint8Array(width * height * 3).fill(GREY);
	for (let y = 0; y < shown.height; y++)
		data.set(shown.data.subarray(y * shown.width * 3, (y + 1) * shown.width * 3), ((top + y) * width + left) * 3);
	return { ...shown, width, height, data };
}

/** Cuts a covering picture. */
export function augment(image: ImageU8, augmentation: Augmentation, options: AugmentationOptions): ImageU8 {
	if (augmentation.zoom !== undefined) {
		const shown = zoomed(image, augmentation, options);
		return augmentation.flipped ? mirrored(shown) : shown;
	}
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
