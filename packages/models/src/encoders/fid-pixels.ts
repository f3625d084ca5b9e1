// The three ways in use of bringing a picture to Inception's 299×299. Scores differ between them, so results name theirs.
import { type ImageF32, type ImageU8, resizeF32 } from "@dreamdist/core";
import { INCEPTION_SIDE } from "../networks/inception.js";

/**
 * "pytorch-fid": bilinear, half-pixel centres, no antialiasing; "torch-fidelity": bilinear as in TensorFlow 1, whose pixels have no centres;
 * "clean-fid": antialiased bicubic in floats (Parmar et al. 2022).
 */
export type FidPreprocessing = "pytorch-fid" | "torch-fidelity" | "clean-fid";

export const FID_PREPROCESSINGS: readonly FidPreprocessing[] = ["pytorch-fid", "torch-fidelity", "clean-fid"];

/** @returns [299, 299, 3] in [−1, 1] */
export function fidPixels(image: ImageU8, preprocessing: FidPreprocessing): Float32Array {
	if (preprocessing === "pytorch-fid") return scaled(bilinear(image, INCEPTION_SIDE, "half-pixel"), 1 / 127.5, -1);
	if (preprocessing === "torch-fidelity") return scaled(bilinear(image, INCEPTION_SIDE, "tensorflow1"), 1 / 128, -1);
	const picture: ImageF32 = { ...image, data: Float32Array.from(image.data) };
	const resized = resizeF32(picture, INCEPTION_SIDE, INCEPTION_SIDE, "bicubic").data;
	for (let i = 0; i < resized.length; i++) resized[i] = Math.min(255, Math.max(0, resized[i]!));
	return scaled(resized, 1 / 128, -1);
}

function scaled(pixels: Float32Array, factor: number, offset: number): Float32Array {
	for (let i = 0; i < pixels.length; i++) pixels[i] = pixels[i]! * factor + offset;
	return pixels;
}

interface Neighbours {
	readonly low: Int32Array;
	readonly high: Int32Array;
	/** Share of the higher one. */
	readonly share: Float64Array;
}

function neighbours(from: number, to: number, how: "half-pixel" | "tensorflow1"): Neighbours {
	const [low, high] = [new Int32Array(to), new Int32Array(to)];
	const share = new Float64Array(to);
	for (let i = 0; i < to; i++) {
		const at = how === "tensorflow1" ? i * Math.fround(from / to) : Math.max(0, ((i + 0.5) * from) / to - 0.5);
		low[i] = Math.min(from - 1, Math.floor(at));
		high[i] = Math.min(from - 1, low[i]! + 1);
		share[i] = at - low[i]!;
	}
	return { low, high, share };
}

/** A square of `side` pixels by linear interpolation along both axes, bytes as numbers. */
function bilinear(image: ImageU8, side: number, how: "half-pixel" | "tensorflow1"): Float32Array {
	const { width, height, data } = image;
	const [across, down] = [neighbours(width, side, how), neighbours(height, side, how)];
	const out = new Float32Array(side * side * 3);
	let index = 0;
	for (let y = 0; y < side; y++) {
		const top = down.low[y]! * width * 3;
		const bottom = down.high[y]! * width * 3;
		const dy = down.share[y]!;
		for (let x = 0; x < side; x++) {
			const left = across.low[x]! * 3;
			const right = across.high[x]! * 3;
			const dx = across.share[x]!;
			for (let channel = 0; channel < 3; channel++) {
				const a = data[top + left + channel]!;
				const b = data[bottom + left + channel]!;
				const upper = a + (data[top + right + channel]! - a) * dx;
				const lower = b + (data[bottom + right + channel]! - b) * dx;
				out[index++] = upper + (lower - upper) * dy;
			}
		}
	}
	return out;
}
