// Decoding a picture in overlapping tiles where the whole does not fit into memory.
import { InsufficientMemoryError } from "../graph/errors.js";

interface Numbers {
	readonly data: Float32Array;
	readonly shape: readonly number[];
}

/** Decodes latents [1, h, w, C] to [1, h·factor, w·factor, 3]. */
export type Decode = (latents: Numbers) => Promise<Float32Array>;

/** No tile is smaller than this, in latents: below it the group norms see too little of the picture. */
const SMALLEST_TILE = 16;

/** Starts of tiles of `tile` that cover `length`, neighbours sharing at least a quarter. */
export function tileStarts(length: number, tile: number): number[] {
	if (tile >= length) return [0];
	const step = tile - Math.floor(tile / 4);
	const count = Math.ceil((length - tile) / step) + 1;
	return Array.from({ length: count }, (_, i) => Math.round((i * (length - tile)) / (count - 1)));
}

/** How much a pixel of a tile counts, by its distance from the borders it shares with other tiles: a ramp over the overlap. */
function ramp(position: number, size: number, overlap: number, first: boolean, last: boolean): number {
	const before = first ? 1 : Math.min(1, (position + 0.5) / overlap);
	const after = last ? 1 : Math.min(1, (size - position - 0.5) / overlap);
	return Math.min(before, after);
}

/**
 * The largest tile whose decoder fits, tried from the whole picture on; each time the plan does not fit, the side halves.
 *
 * @param prepare plans the decoder of latents [1, h, w, C]; throws InsufficientMemoryError where it does not fit
 * @returns the tile's side in latents; that of the whole picture where that fits
 * @throws the plan's own error where not even the smallest tile fits
 */
export async function largestTile(
	prepare: (shape: readonly number[]) => Promise<unknown>,
	[h, w, channels]: readonly [h: number, w: number, channels: number],
): Promise<number> {
	let side = Math.max(h, w);
	for (;;) {
		try {
			await prepare([1, Math.min(side, h), Math.min(side, w), channels]);
			return side;
		} catch (error) {
			const smaller = Math.ceil(side / 2);
			if (!(error instanceof InsufficientMemoryError) || smaller < SMALLEST_TILE) throw error;
			side = smaller;
		}
	}
}

/**
 * Decodes one picture's latents [1, h, w, C] to [1, H, W, 3] in tiles. Tiles differ slightly in tone, as group norms see one at a time;
 * the overlap blends them.
 *
 * @param factor pixels per latent
 * @param side of a tile, in latents
 */
export async function decodeTiled(
	decode: Decode,
	factor: number,
	latents: Numbers,
	side: number,
): Promise<Float32Array> {
	if (side >= Math.max(...latents.shape.slice(1, 3))) return decode(latents);
	const [, h, w, channels] = latents.shape as [number, number, number, number];
	const [height, width] = [h * factor, w * factor];
	const sum = new Float32Array(height * width * 3);
	const weight = new Float32Array(height * width);
	const [th, tw] = [Math.min(side, h), Math.min(side, w)];
	const [tops, lefts] = [tileStarts(h, th), tileStarts(w, tw)];
	const overlap = Math.max(1, Math.floor(side / 4)) * factor;
	for (const top of tops)
		for (const left of lefts) {
			const part = new Float32Array(th * tw * channels);
			for (let y = 0; y < th; y++) {
				const row = ((top + y) * w + left) * channels;
				part.set(latents.data.subarray(row, row + tw * channels), y * tw * channels);
			}
			const data = await decode({ data: part, shape: [1, th, tw, channels] });
			for (let y = 0; y < th * factor; y++) {
				const wy = ramp(y, th * factor, overlap, top === 0, top + th === h);
				for (let x = 0; x < tw * factor; x++) {
					const k = wy * ramp(x, tw * factor, overlap, left === 0, left + tw === w);
					const at = (top * factor + y) * width + left * factor + x;
					weight[at]! += k;
					for (let c = 0; c < 3; c++) sum[3 * at + c]! += k * data[3 * (y * tw * factor + x) + c]!;
				}
			}
		}
	for (let i = 0; i < weight.length; i++) for (let c = 0; c < 3; c++) sum[3 * i + c]! /= weight[i]!;
	return sum;
}
