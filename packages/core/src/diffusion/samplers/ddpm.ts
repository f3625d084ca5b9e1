import { makePlan, makeStep, type SamplingPlan } from "../sampling-plan.js";
import type { SchedulerConfig } from "../scheduler-config.js";
import { alphaAt, visitedTimesteps } from "./alphas.js";
import { cleanEstimate } from "./prediction.js";

/** The posterior's variance is kept above this, so that its logarithm exists; diffusers' value. */
const SMALLEST_VARIANCE = 1e-20;

/** Ancestral sampling of denoising diffusion probabilistic models (Ho et al. 2020, Eq. 6 and 7). */
export function planDdpm(config: SchedulerConfig, alphas: Float32Array, stepCount: number): SamplingPlan {
	const timesteps = visitedTimesteps(config, stepCount);
	const steps = timesteps.map((timestep, i) => {
		const alpha = alphaAt(alphas, timestep, 1);
		const nextAlpha = alphaAt(alphas, timesteps[i + 1] ?? -1, 1);
		const beta = 1 - alpha / nextAlpha;
		const posterior = Math.max(((1 - nextAlpha) / (1 - alpha)) * beta, SMALLEST_VARIANCE);
		const variance = config.varianceType === "fixed_large" ? beta : posterior;
		return makeStep({
			timestep,
			estimate: cleanEstimate(config.predictionType, Math.sqrt(alpha), Math.sqrt(1 - alpha), config.clipSample),
			next: {
				estimate: (Math.sqrt(nextAlpha) * beta) / (1 - alpha),
				latents: (Math.sqrt(alpha / nextAlpha) * (1 - nextAlpha)) / (1 - alpha),
				noise: timestep > 0 ? Math.sqrt(variance) : 0,
			},
		});
	});
	return makePlan(1, steps);
}
