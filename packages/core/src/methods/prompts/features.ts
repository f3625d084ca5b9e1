// From learnable vectors to the distribution of text features, as graph functions.

import type { TextEncoder } from "../../diffusion/interfaces.js";
import { ShapeError } from "../../graph/errors.js";
import type { Graph, Value } from "../../graph/graph.js";
import { formatType } from "../../graph/types.js";
import { abs, add, cast, mul, square, sub } from "../../ops/elementwise.js";
import { gather } from "../../ops/embedding.js";
import { l2Normalize } from "../../ops/loss.js";
import { matmul } from "../../ops/matmul.js";
import { mean, std, sum } from "../../ops/reduce.js";
import { broadcastTo, reshape, slice, transpose } from "../../ops/shape.js";
import type { FrameInputs } from "./frame.js";

/** Frames of R prompts as values of a graph; `packFrames` makes their contents. */
export interface FrameValues {
	/** i32 [R, L] */
	readonly ids: Value;
	/** [R, L, M] */
	readonly placement: Value;
	/** i32 [R·K] */
	readonly endRows: Value;
}

/** Declares the inputs `ids`, `placement` and `endRows`, so that other words never compile again. */
export function declareFrames(
	graph: Graph,
	shape: { rows: number; prompts: number; length: number; vectors: number },
): FrameValues {
	const { rows, prompts, length, vectors } = shape;
	return {
		ids: graph.input("ids", [rows, length], "i32"),
		placement: graph.input("placement", [rows, length, vectors]),
		endRows: graph.input("endRows", [rows * prompts], "i32"),
	};
}

/** `packFrames`' arrays under the names that `declareFrames` gives them. */
export function frameData(frames: FrameInputs): Record<string, ArrayLike<number>> {
	return { ids: frames.ids, placement: frames.placement, endRows: frames.endRows };
}

/**
 * Puts the vectors into their places among the words' embeddings.
 *
 * @param tokens [R, K, M, d]
 * @returns [R·K, L, d], before position embeddings
 */
export function promptEmbeddings(
	encoder: TextEncoder,
	tokens: Value,
	frames: Pick<FrameValues, "ids" | "placement">,
): Value {
	if (tokens.rank !== 4) throw new ShapeError(`prompts: the tokens must be [R, K, M, d], not ${formatType(tokens)}`);
	const [rows, prompts, vectors, width] = tokens.shape as [number, number, number, number];
	const length = frames.ids.shape[1]!;
	const words = cast(encoder.embed(frames.ids), "f32");
	const kept = mul(words, sub(1, sum(frames.placement, 2, { keepDims: true })));
	// A row of the placement is a unit vector or zero, so the product copies vectors exactly and its gradient picks them out.
	const columns = reshape(transpose(tokens, [0, 2, 1, 3]), [rows, vectors, prompts * width]);
	const placed = reshape(matmul(frames.placement, columns), [rows, length, prompts, width]);
	const embeddings = add(transpose(placed, [0, 2, 1, 3]), reshape(kept, [rows, 1, length, width]));
	return reshape(embeddings, [rows * prompts, length, width]);
}

/** The Gaussian that K prompts give, per position and channel, and what it came from. All f32. */
export interface PromptFeatures {
	/** Text features [R·K, L, d]. */
	readonly hidden: Value;
	/** Features at the end token [R, K, d]. */
	readonly pooled: Value;
	/** Over the K prompts, [R, L, d]. */
	readonly mean: Value;
	/** Over the K prompts, unbiased, [R, L, d]. Exactly 0, with gradient 0, where the prompts do not differ, and for K = 1. */
	readonly std: Value;
}

/** Encodes K prompts per row and fits the Gaussian (paper, §3.2). */
export function promptFeatures(encoder: TextEncoder, tokens: Value, frames: FrameValues): PromptFeatures {
	const [rows, prompts, , width] = tokens.shape as [number, number, number, number];
	const length = frames.ids.shape[1]!;
	const hidden = cast(encoder.encode(promptEmbeddings(encoder, tokens, frames)), "f32");
	const pooled = reshape(gather(reshape(hidden, [rows * prompts * length, width]), frames.endRows), [
		rows,
		prompts,
		width,
	]);
	const each = reshape(hidden, [rows, prompts, length, width]);
	// Taken from the first prompt, the differences are exactly 0 where nothing varies; from the mean they would be rounding noise,
	// whose standard deviation has a gradient that is anything but 0.
	const first = slice(each, 1, 0, 1);
	const difference = sub(each, first);
	return {
		hidden,
		pooled,
		mean: add(reshape(first, [rows, length, width]), mean(difference, 1)),
		std: std(difference, 1),
	};
}

/**
 * Reparameterised samples mean + omega · std (paper, Eq. 3).
 *
 * @param mean [R, L, d]
 * @param std [R, L, d]
 * @param omega [B, S, L, d], or [1, S, L, d] for the same numbers in every picture
 * @param pictureRow i32 [B]: each picture's row of `mean`; null where there is one row
 * @returns [B·S, L, d], the S samples of a picture together
 */
export function sampleContexts(
	mean: Value,
	std: Value,
	omega: Value,
	batch: number,
	pictureRow: Value | null = null,
): Value {
	const [rows, length, width] = mean.shape as [number, number, number];
	const samples = omega.shape[1]!;
	const perPicture = (value: Value): Value =>
		pictureRow
			? reshape(gather(reshape(value, [rows, length * width]), pictureRow), [batch, 1, length, width])
			: reshape(value, [rows, 1, length, width]);
	const contexts = add(perPicture(mean), mul(omega, perPicture(std)));
	return reshape(broadcastTo(contexts, [batch, samples, length, width]), [batch * samples, length, width]);
}

/** "paper": mean absolute cosine, Eq. 5; "official": squared cosines over both triangles, as the published code has it. */
export const ORTHOGONAL_LOSSES = ["paper", "official"] as const;
export type OrthogonalLoss = (typeof ORTHOGONAL_LOSSES)[number];

/**
 * The orthogonal loss of each row's K prompts: Σ |cos| over pairs i < j, or Σ cos² over i ≠ j, divided by K(K−1); 0 for K = 1.
 *
 * @param pooled [R, K, d]
 * @returns [R]
 */
export function orthogonalLoss(pooled: Value, kind: OrthogonalLoss): Value {
	const [rows, prompts] = pooled.shape as [number, number, number];
	const unit = l2Normalize(pooled);
	const cosines = matmul(unit, unit, { transposeB: true });
	const pairs = pooled.graph.constant(
		Float64Array.from({ length: prompts * prompts }, (_, i) => {
			const [row, column] = [Math.floor(i / prompts), i % prompts];
			return (kind === "paper" ? row < column : row !== column) ? 1 / (prompts * (prompts - 1)) : 0;
		}),
		[prompts, prompts],
	);
	const cost = kind === "paper" ? abs(cosines) : square(cosines);
	return reshape(sum(mul(cost, pairs), [1, 2]), [rows]);
}
