// The loss of one step of learning a prompt distribution, as graph functions.

import type { Denoiser, Recompute } from "../../diffusion/interfaces.js";
import type { LossWeighting, NoiseSchedule } from "../../diffusion/noise-schedule.js";
import { ShapeError } from "../../graph/errors.js";
import type { Value } from "../../graph/graph.js";
import { formatType } from "../../graph/types.js";
import { add, cast, mul, square, sub } from "../../ops/elementwise.js";
import { mean, sum } from "../../ops/reduce.js";
import { reshape, slice } from "../../ops/shape.js";

/** Columns of the per-picture scalars that a timestep decides. */
export const TIMESTEP_SCALARS = 5;

/** How a timestep's squared error counts. Null: as it is. */
export interface SnrWeighting {
	/** Usually 5. */
	readonly gamma: number;
	readonly kind?: LossWeighting;
}

/**
 * The scalars of each picture's timestep: x_t = a·x₀ + b·ε, target = c·x₀ + d·ε, weight.
 *
 * @returns [B, TIMESTEP_SCALARS]
 */
export function timestepScalars(
	schedule: NoiseSchedule,
	timesteps: ArrayLike<number>,
	weighting: SnrWeighting | null = null,
): Float32Array {
	const scalars = new Float32Array(timesteps.length * TIMESTEP_SCALARS);
	Array.from(timesteps).forEach((timestep, i) => {
		const noisy = schedule.noisy(timestep);
		const target = schedule.target(timestep);
		const weight = weighting ? schedule.lossWeight(timestep, weighting.gamma, weighting.kind) : 1;
		scalars.set([noisy.sample, noisy.noise, target.sample, target.noise, weight], i * TIMESTEP_SCALARS);
	});
	return scalars;
}

export interface DenoisingInputs {
	/** Clean latents x₀ [B, h, w, C], scaled. */
	readonly latents: Value;
	/** ε, of the latents' shape. */
	readonly noise: Value;
	/** [B] */
	readonly timesteps: Value;
	/** [B, TIMESTEP_SCALARS], of `timestepScalars`. */
	readonly scalars: Value;
	/** [B·S, L, d], the S contexts of a picture together. */
	readonly contexts: Value;
	/** How squared errors add up to a picture's, [B, h, w, 1]. Default: all alike, to their mean. */
	readonly pixelWeights?: Value;
	/** What the gradient computes again; default "nothing". */
	readonly recompute?: Recompute;
}

/**
 * Squared error of the denoiser, in f32: the S contexts of a picture see the same noisy latents and timestep.
 *
 * @returns [B], each picture's weighted error, averaged over its S samples
 */
export function denoisingErrors(denoiser: Denoiser, inputs: DenoisingInputs): Value {
	const { latents, noise, timesteps, scalars, contexts, pixelWeights, recompute = "nothing" } = inputs;
	const [batch, height, width, channels] = latents.shape as [number, number, number, number];
	const samples = contexts.shape[0]! / batch;
	if (!Number.isInteger(samples) || samples < 1)
		throw new ShapeError(`denoising loss: ${formatType(contexts)} contexts do not divide over ${batch} pictures`);
	const column = (i: number): Value => reshape(slice(scalars, 1, i, 1), [batch, 1, 1, 1]);
	const mix = (i: number): Value => add(mul(latents, column(i)), mul(noise, column(i + 1)));
	const prediction = cast(denoiser.predict(mix(0), timesteps, contexts, { recompute }), "f32");
	const flat = reshape(prediction, [batch, samples, -1]);
	const error = square(sub(flat, reshape(mix(2), [batch, 1, -1])));
	let perPicture = mean(error, [1, 2]);
	if (pixelWeights) {
		const perPixel = reshape(sum(reshape(mean(error, 1), [batch, height * width, channels]), 2), [batch, -1]);
		perPicture = sum(mul(perPixel, reshape(pixelWeights, [batch, height * width])), 1);
	}
	return mul(perPicture, reshape(slice(scalars, 1, 4, 1), [batch]));
}
