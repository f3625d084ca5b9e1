import { linspace } from "./spacing.js";

/** Karras et al. 2022 space noise levels evenly in σ^(1/7). */
const KARRAS_RHO = 7;

/**
 * ᾱ of the last timestep of a zero-terminal-SNR schedule where noise levels must stay finite: float16's smallest
 * subnormal, σ = 4096 (the value diffusers uses).
 */
const SMALLEST_ALPHA = 2 ** -24;

/** Noise levels σ_t = √((1−ᾱ)/ᾱ) of every training timestep, ascending; ᾱ = 0 is raised so that all are finite. */
export function trainingSigmas(alphasCumprod: Float32Array): Float64Array {
	return Float64Array.from(alphasCumprod, (alpha) => {
		const a = alpha === 0 ? SMALLEST_ALPHA : alpha;
		return Math.sqrt((1 - a) / a);
	});
}

/** σ at a timestep that need not be an integer, by linear interpolation between the training timesteps. */
export function sigmaAt(sigmas: Float64Array, timestep: number): number {
	const low = Math.min(Math.max(Math.floor(timestep), 0), sigmas.length - 1);
	const high = Math.min(low + 1, sigmas.length - 1);
	const weight = Math.min(Math.max(timestep - low, 0), 1);
	return sigmas[low]! + weight * (sigmas[high]! - sigmas[low]!);
}

/** The timestep of a noise level, by linear interpolation in log σ; clamped to the schedule's ends. */
export function timestepOf(sigmas: Float64Array, sigma: number): number {
	let low = 0;
	while (low < sigmas.length - 2 && sigmas[low + 1]! <= sigma) low++;
	const logLow = Math.log(sigmas[low]!);
	const logHigh = Math.log(sigmas[low + 1]!);
	const weight = (Math.log(sigma) - logLow) / (logHigh - logLow);
	return low + Math.min(Math.max(weight, 0), 1);
}

/** `count` noise levels from `largest` down to `smallest`, evenly spaced in σ^(1/ρ). */
export function karrasSigmas(largest: number, smallest: number, count: number): number[] {
	return linspace(largest ** (1 / KARRAS_RHO), smallest ** (1 / KARRAS_RHO), count).map((root) => root ** KARRAS_RHO);
}
