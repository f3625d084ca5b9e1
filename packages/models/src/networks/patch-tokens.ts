// From a picture to the tokens of a vision transformer: patches, class token, and positions resampled to the picture's size.
import {
	add,
	broadcastTo,
	cast,
	concat,
	matmul,
	reshape,
	ShapeError,
	slice,
	transpose,
	type Value,
	type Weights,
} from "@dreamdist/core";
import { convLayer } from "./layers.js";
import type { VisionTransformerConfig } from "./vision-transformer-config.js";

/**
 * How positions trained on M×M patches are read for n patches a side, bicubic (a = −0.75), without antialiasing, borders repeated:
 * "original", as DINO's and DINOv2's repositories do it (they pass the factor (n + 0.1) / M): at (i + 0.5) · M / (n + 0.1) − 0.5;
 * "transformers", which passes the size: at (i + 0.5) · M / n − 0.5.
 */
export type PositionResampling = "original" | "transformers";

const CUBIC = -0.75;

/** Weight of a neighbour at distance d in bicubic interpolation. */
function cubicWeight(d: number): number {
	if (d <= 1) return ((CUBIC + 2) * d - (CUBIC + 3)) * d * d + 1;
	return d < 2 ? ((CUBIC * d - 5 * CUBIC) * d + 8 * CUBIC) * d - 4 * CUBIC : 0;
}

/** The matrix [to, from] that resamples one axis. */
export function positionMatrix(from: number, to: number, resampling: PositionResampling): Float64Array {
	const step = from / (resampling === "original" ? to + 0.1 : to);
	const matrix = new Float64Array(to * from);
	for (let i = 0; i < to; i++) {
		const at = (i + 0.5) * step - 0.5;
		const first = Math.floor(at) - 1;
		for (let k = first; k < first + 4; k++) {
			const inside = Math.min(from - 1, Math.max(0, k));
			matrix[i * from + inside]! += cubicWeight(Math.abs(at - k));
		}
	}
	return matrix;
}

/** The position table for a grid of patches: that of the class token as it is, then those of the patches, [1 + rows·columns, C]. */
export function positionTable(
	weights: Weights,
	config: VisionTransformerConfig,
	[rows, columns]: readonly [number, number],
	resampling: PositionResampling,
): Value {
	const { hiddenSize: channels, imageSize, patchSize } = config;
	const side = imageSize / patchSize;
	const stored = weights.get("position_embeddings", [1, 1 + side * side, channels]);
	const table = reshape(cast(stored, "f32"), [1 + side * side, channels]);
	if (rows === side && columns === side) return table;
	const along = (count: number) => weights.graph.constant(positionMatrix(side, count, resampling), [count, side]);
	// Rows first: [side, side·C] → [rows, side·C]; then columns: [rows, side, C] → [columns, rows·C].
	const tall = matmul(along(rows), reshape(slice(table, 0, 1, side * side), [side, side * channels]));
	const turned = reshape(transpose(reshape(tall, [rows, side, channels]), [1, 0, 2]), [side, rows * channels]);
	const wide = reshape(matmul(along(columns), turned), [columns, rows, channels]);
	const patches = reshape(transpose(wide, [1, 0, 2]), [rows * columns, channels]);
	return concat([slice(table, 0, 0, 1), patches], 0);
}

/**
 * Class token and patches with their positions.
 *
 * @param weights the scope `embeddings` of the Hub's layout
 * @param pictures [B, H, W, 3], sides multiples of the patch
 * @returns tokens [B, 1 + patches, C]
 * @throws ShapeError for other sides
 */
export function patchTokens(
	weights: Weights,
	config: VisionTransformerConfig,
	pictures: Value,
	resampling: PositionResampling,
): Value {
	const { hiddenSize: channels, patchSize } = config;
	const [batch, height, width, colours] = pictures.shape as [number, number, number, number];
	if (pictures.rank !== 4 || colours !== 3 || height % patchSize !== 0 || width % patchSize !== 0)
		throw new ShapeError(
			`vision transformer: expected pictures [B, H, W, 3] with sides that are multiples of ${patchSize}, got ${pictures}`,
		);
	const grid = [height / patchSize, width / patchSize] as const;
	const patches = convLayer(weights.scope("patch_embeddings.projection"), pictures, channels, {
		kernel: patchSize,
		stride: patchSize,
		padding: 0,
	});
	const start = cast(weights.get("cls_token", [1, 1, channels]), patches.dtype);
	const tokens = concat(
		[broadcastTo(start, [batch, 1, channels]), reshape(patches, [batch, grid[0] * grid[1], channels])],
		1,
	);
	return add(tokens, cast(positionTable(weights, config, grid, resampling), tokens.dtype));
}

/** What a vision transformer tells of pictures. */
export interface VisionTransformerFeatures {
	/** Class token after the final norm, [B, C]. */
	cls: Value;
	/** All tokens after the final norm, [B, 1 + patches, C]. */
	lastHiddenState: Value;
}

/** The class token of normalised tokens. */
export function classToken(tokens: Value): Value {
	return reshape(slice(tokens, 1, 0, 1), [tokens.shape[0]!, tokens.shape[2]!]);
}

export interface VisionTransformerOptions {
	/** Default "original": what the encoders' own repositories compute. */
	resampling?: PositionResampling;
}
