// Reference sets have pictures and latents with the channels first, as PyTorch does.
import { ArgumentError, type Shape, transpose, type Value } from "@dreamdist/core";
import type { CaseTensor } from "./case.js";

/** [N, C, H, W] → [N, H, W, C] */
export const channelsLast = (x: Value): Value => transpose(x, [0, 2, 3, 1]);

/** [N, H, W, C] → [N, C, H, W] */
export const channelsFirst = (x: Value): Value => transpose(x, [0, 3, 1, 2]);

/** The shape of one row per element of the first axis: a scalar stands for all rows. */
export function perRow(data: Float32Array, shape: Shape, rows: number): Float32Array {
	return data.length === 1 && shape.length <= 1 ? new Float32Array(rows).fill(data[0]!) : data;
}

/** [N, C, H, W] → [N, H, W, C], as an array: for programs that are not written by the case. */
export function pixelsFirst({ data, shape }: CaseTensor): Float32Array {
	const [n, c, h, w] = pictureShape(shape);
	return reordered(data, n, c, h * w, (row, channel, pixel) => [
		(row * c + channel) * h * w + pixel,
		(row * h * w + pixel) * c + channel,
	]);
}

/** [N, H, W, C] → [N, C, H, W] of the given shape, as an array. */
export function pixelsLast(data: Float32Array, shape: Shape): Float32Array {
	const [n, c, h, w] = pictureShape(shape);
	return reordered(data, n, c, h * w, (row, channel, pixel) => [
		(row * h * w + pixel) * c + channel,
		(row * c + channel) * h * w + pixel,
	]);
}

function pictureShape(shape: Shape): readonly [number, number, number, number] {
	if (shape.length !== 4) throw new ArgumentError(`a picture is [N, C, H, W], not [${shape.join(", ")}]`);
	return shape as unknown as readonly [number, number, number, number];
}

function reordered(
	data: Float32Array,
	rows: number,
	channels: number,
	pixels: number,
	move: (row: number, channel: number, pixel: number) => [from: number, to: number],
): Float32Array {
	const out = new Float32Array(rows * channels * pixels);
	for (let row = 0; row < rows; row++)
		for (let channel = 0; channel < channels; channel++)
			for (let pixel = 0; pixel < pixels; pixel++) {
				const [from, to] = move(row, channel, pixel);
				out[to] = data[from]!;
			}
	return out;
}
