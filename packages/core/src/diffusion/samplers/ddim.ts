import { combine, makePlan, makeStep, type SamplingPlan } from "../sampling-plan.js";
import type { SchedulerConfig } from "../scheduler-config.js";
import { alphaAt, visitedTimesteps } from "./alphas.js";
import { cleanEstimate, noiseEstimate } from "./prediction.js";

/**
 * Denoising diffusion implicit models (Song et al. 2021, Eq. 12): deterministic at η = 0, DDPM's noise at η = 1.
 *
 * Each step spans ⌊T/N⌋ timesteps whatever the spacing, as in diffusers.
 */
export function planDdim(config: SchedulerConfig, alphas: Float32Array, stepCount: number, eta: number): SamplingPlan {
	const { predictionType, clipSample } = config;
	const stride = Math.floor(config.trainTimesteps / stepCount);
	const finalAlpha = config.setAlphaToOne ? 1 : alphas[0]!;
	const steps = visitedTimesteps(config, stepCount).map((timestep) => {
		const alpha = alphaAt(alphas, timestep, 1);
		const nextAlpha = alphaAt(alphas, timestep - stride, finalAlpha);
		const a = Math.sqrt(alpha);
		const s = Math.sqrt(1 - alpha);
		const variance = ((1 - nextAlpha) / (1 - alpha)) * (1 - alpha / nextAlpha);
		const sigma = eta * Math.sqrt(Math.max(variance, 0));
		const direction = Math.sqrt(Math.max(1 - nextAlpha - sigma ** 2, 0));
		return makeStep({
			timestep,
			estimate: cleanEstimate(predictionType, a, s, clipSample),
			next: combine(direction, noiseEstimate(predictionType, a, s), { estimate: Math.sqrt(nextAlpha), noise: sigma }),
		});
	});
	return makePlan(1, steps);
}
