// What new networks start from.
import { type Shape, sizeOf } from "@dreamdist/core";
import { weightNormals } from "./randomness.js";

/** Layers whose result is added to what they read. Small at first, a deep network begins close to the identity. */
const RESIDUAL_END = /(conv2|conv3|to_out\.0|out_proj|ff\.net\.2|mlp\.fc2|proj_out)\.weight$/;
const RESIDUAL_GAIN = 0.2;
const EMBEDDING = /(token_embedding|position_embedding|class_embedding)(\.weight)?$/;
const EMBEDDING_DEVIATION = 0.02;

/** A weight's first numbers by its name; null: the usual ones. */
export type InitialOverride = (name: string) => number | null;

/**
 * The numbers a weight starts from: ones for the scales of normalisations and running variances, zeros for biases and running means, N(0, 0.02²) for embeddings,
 * N(0, 1/fan-in) for the rest, with ends of residual branches at a fifth of that.
 *
 * @param index of the weight in its network: each draws numbers of its own
 * @param constant a number that all of the weight's begin with, for some names
 */
export function initialWeight(
	name: string,
	shape: Shape,
	index: number,
	seed: number,
	constant: InitialOverride = () => null,
): Float32Array {
	const size = sizeOf(shape);
	const fixed = constant(name);
	if (fixed !== null) return new Float32Array(size).fill(fixed);
	const embedding = EMBEDDING.test(name);
	if (shape.length < 2 && !embedding)
		return new Float32Array(size).fill(name.endsWith(".weight") || name.endsWith(".running_var") ? 1 : 0);
	const fanIn = size / shape[0]!;
	const deviation = embedding ? EMBEDDING_DEVIATION : (RESIDUAL_END.test(name) ? RESIDUAL_GAIN : 1) / Math.sqrt(fanIn);
	return weightNormals(seed, index, size).map((value) => value * deviation);
}
