import { ArgumentError } from "../errors.js";
import { type BetaOptions, cumulativeAlphas } from "./betas.js";

/** What the network is trained to predict: the noise, the velocity v = √ᾱ ε − √(1−ᾱ) x₀, or the clean sample. */
export const PREDICTION_TYPES = ["epsilon", "v_prediction", "sample"] as const;
export type PredictionType = (typeof PREDICTION_TYPES)[number];

/** A vector made of a clean sample and noise: `sample · x₀ + noise · ε`. */
export interface NoiseMix {
	sample: number;
	noise: number;
}

/**
 * How the loss of a timestep is weighted.
 * - `min-snr`: Hang et al. 2023 in the form that fits the prediction type: min(SNR, γ)/SNR for epsilon,
 *   min(SNR, γ)/(SNR + 1) for v_prediction, min(SNR, γ) for sample.
 * - `min-snr-epsilon`: min(SNR, γ)/SNR whatever is predicted, as DreamDistribution's official code has it.
 */
export type LossWeighting = "min-snr" | "min-snr-epsilon";

/** The forward process of training: what noise each timestep adds and what the network should answer. */
export interface NoiseSchedule {
	/** Timesteps are the integers 0 … trainTimesteps − 1. */
	readonly trainTimesteps: number;
	readonly predictionType: PredictionType;
	/** ᾱ, float32, [trainTimesteps]. */
	readonly alphasCumprod: Float32Array;
	/** The noisy sample x_t = √ᾱ x₀ + √(1−ᾱ) ε. */
	noisy(timestep: number): NoiseMix;
	/** The velocity v_t = √ᾱ ε − √(1−ᾱ) x₀. */
	velocity(timestep: number): NoiseMix;
	/** What the network should predict at this timestep. */
	target(timestep: number): NoiseMix;
	/** Signal-to-noise ratio ᾱ/(1−ᾱ). */
	snr(timestep: number): number;
	/** Weight of a timestep's squared error. `gamma` > 0, usually 5. */
	lossWeight(timestep: number, gamma: number, weighting?: LossWeighting): number;
}

export interface NoiseScheduleOptions extends BetaOptions {
	predictionType: PredictionType;
}

/** The discrete variance-preserving schedule of Stable Diffusion. All methods refuse a timestep outside the schedule. */
export function createNoiseSchedule(options: NoiseScheduleOptions): NoiseSchedule {
	const { trainTimesteps, predictionType } = options;
	const alphasCumprod = cumulativeAlphas(options);

	const alpha = (timestep: number): number => {
		const value = alphasCumprod[timestep];
		if (value === undefined) {
			throw new ArgumentError(`Timestep ${timestep} is not an integer from 0 to ${trainTimesteps - 1}.`);
		}
		return value;
	};
	const noisy = (timestep: number): NoiseMix => {
		const a = alpha(timestep);
		return { sample: Math.sqrt(a), noise: Math.sqrt(1 - a) };
	};
	const velocity = (timestep: number): NoiseMix => {
		const { sample, noise } = noisy(timestep);
		return { sample: -noise, noise: sample };
	};
	const snr = (timestep: number): number => {
		const a = alpha(timestep);
		return a / (1 - a);
	};
	const target = (timestep: number): NoiseMix => {
		if (predictionType === "v_prediction") return velocity(timestep);
		alpha(timestep);
		return predictionType === "epsilon" ? { sample: 0, noise: 1 } : { sample: 1, noise: 0 };
	};
	const lossWeight = (timestep: number, gamma: number, weighting: LossWeighting = "min-snr"): number => {
		if (!(gamma > 0)) throw new ArgumentError(`The min-SNR gamma must be above 0, not ${gamma}.`);
		const ratio = snr(timestep);
		const capped = Math.min(ratio, gamma);
		if (weighting === "min-snr-epsilon" || predictionType === "epsilon") {
			// With a zero-terminal-SNR schedule the last ratio is 0/0; its limit is 1.
			return ratio === 0 ? 1 : capped / ratio;
		}
		return predictionType === "v_prediction" ? capped / (ratio + 1) : capped;
	};
	return { trainTimesteps, predictionType, alphasCumprod, noisy, velocity, target, snr, lossWeight };
}

/**
 * Applies one mix per row: out[b, i] = mixes[b].sample · sample[b, i] + mixes[b].noise · noise[b, i].
 *
 * @param sample clean samples, [mixes.length, n] flattened
 * @param noise same shape
 * @returns a new array of the same shape
 */
export function mixNoise(mixes: readonly NoiseMix[], sample: Float32Array, noise: Float32Array): Float32Array {
	if (sample.length !== noise.length || mixes.length === 0 || sample.length % mixes.length !== 0) {
		throw new ArgumentError(
			`${mixes.length} timesteps do not divide a sample of ${sample.length} and noise of ${noise.length} numbers.`,
		);
	}
	const rowLength = sample.length / mixes.length;
	return sample.map((value, i) => {
		const mix = mixes[Math.floor(i / rowLength)]!;
		return mix.sample * value + mix.noise * noise[i]!;
	});
}
