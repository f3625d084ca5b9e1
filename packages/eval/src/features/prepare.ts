// From a picture of any size to the numbers an encoder reads.
import { centerCrop, type ImageU8, resizeImage, resizeShorterSide } from "@dreamdist/core";

export interface Normalisation {
	readonly mean: readonly [number, number, number];
	readonly std: readonly [number, number, number];
}

export const CLIP_NORMALISATION: Normalisation = {
	mean: [0.48145466, 0.4578275, 0.40821073],
	std: [0.26862954, 0.26130258, 0.27577711],
};
export const IMAGENET_NORMALISATION: Normalisation = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
/** [−1, 1], as the networks of diffusion models take pictures. */
export const SYMMETRIC_NORMALISATION: Normalisation = { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] };

/** byte / 255, then (x − mean) / std, channel by channel. */
export function normalise(image: ImageU8, { mean, std }: Normalisation): Float32Array {
	const tables = mean.map((center, channel) =>
		Float32Array.from({ length: 256 }, (_, byte) => (byte / 255 - center) / std[channel]!),
	);
	const out = new Float32Array(image.data.length);
	for (let i = 0; i < out.length; i++) out[i] = tables[i % 3]![image.data[i]!]!;
	return out;
}

/** The shorter side to `side`, bicubic as Pillow, then the middle square of `crop`. */
export const shorterSideThenCrop = (image: ImageU8, side: number, crop: number): ImageU8 =>
	centerCrop(resizeShorterSide(image, side), crop);

/** Both sides to `side`, proportions or not. */
export const toSquare = (image: ImageU8, side: number): ImageU8 =>
	image.width === side && image.height === side ? image : resizeImage(image, side, side);
