// Reference sets have pictures and latents with the channels first, as PyTorch does.
import { type Shape, transpose, type Value } from "@dreamdist/core";

/** [N, C, H, W] → [N, H, W, C] */
export const channelsLast = (x: Value): Value => transpose(x, [0, 2, 3, 1]);

/** [N, H, W, C] → [N, C, H, W] */
export const channelsFirst = (x: Value): Value => transpose(x, [0, 3, 1, 2]);

/** The shape of one row per element of the first axis: a scalar stands for all rows. */
export function perRow(data: Float32Array, shape: Shape, rows: number): Float32Array {
	return data.length === 1 && shape.length <= 1 ? new Float32Array(rows).fill(data[0]!) : data;
}
