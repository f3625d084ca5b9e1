import { makePlan, makeStep, type SamplingPlan } from "../sampling-plan.js";
import type { SchedulerConfig } from "../scheduler-config.js";
import { karrasSigmas, sigmaAt, timestepOf, trainingSigmas } from "../sigmas.js";
import { leadingTimesteps, linspace, trailingTimesteps } from "../spacing.js";
import { checkTimesteps } from "./alphas.js";
import { cleanEstimate } from "./prediction.js";

/**
 * Euler's method on the probability-flow ODE (Karras et al. 2022), and its ancestral form, which steps further down and
 * adds noise back. Latents are x₀ + σ ε here, and the model sees them divided by √(σ² + 1).
 */
export function planEuler(config: SchedulerConfig, alphas: Float32Array, stepCount: number): SamplingPlan {
	const { timesteps, sigmas } = noiseLevels(config, alphas, stepCount);
	const steps = timesteps.map((timestep, i) => {
		const sigma = sigmas[i]!;
		const { down, up } =
			config.sampler === "euler_ancestral" ? split(sigma, sigmas[i + 1]!) : { down: sigmas[i + 1]!, up: 0 };
		const scale = 1 / Math.sqrt(sigma ** 2 + 1);
		const estimate = cleanEstimate(config.predictionType, scale, sigma * scale);
		return makeStep({
			timestep,
			inputScale: scale,
			estimate: { ...estimate, latents: estimate.latents * scale },
			next: { latents: down / sigma, estimate: 1 - down / sigma, noise: up },
		});
	});
	const largest = Math.max(...sigmas);
	// With leading timesteps the first latents are not pure noise, so they carry a sample's unit variance too.
	return makePlan(config.timestepSpacing === "leading" ? Math.hypot(largest, 1) : largest, steps);
}

/** How far to step down and how much noise to add back so that the noise level becomes `next`. */
function split(sigma: number, next: number): { down: number; up: number } {
	const up = (next / sigma) * Math.sqrt(Math.max(sigma ** 2 - next ** 2, 0));
	return { down: Math.sqrt(Math.max(next ** 2 - up ** 2, 0)), up };
}

interface NoiseLevels {
	timesteps: number[];
	/** One more than timesteps; where each step starts, and where the last one ends. */
	sigmas: number[];
}

function noiseLevels(config: SchedulerConfig, alphas: Float32Array, stepCount: number): NoiseLevels {
	const training = trainingSigmas(alphas);
	const visited = continuousTimesteps(config, stepCount);
	checkTimesteps(visited, config.trainTimesteps);
	const spaced = visited.map((timestep) => sigmaAt(training, timestep));
	const end = config.finalSigmas === "zero" ? 0 : training[0]!;
	if (!config.useKarrasSigmas) return { timesteps: visited.map(Math.fround), sigmas: [...spaced, end] };
	const sigmas = karrasSigmas(spaced[0]!, spaced[spaced.length - 1]!, stepCount);
	return { timesteps: sigmas.map((sigma) => Math.fround(timestepOf(training, sigma))), sigmas: [...sigmas, end] };
}

/** As {@link integerTimesteps}, but linspace is not rounded. */
function continuousTimesteps(config: SchedulerConfig, stepCount: number): number[] {
	switch (config.timestepSpacing) {
		case "leading":
			return leadingTimesteps(config.trainTimesteps, stepCount, config.stepsOffset);
		case "linspace":
			return linspace(0, config.trainTimesteps - 1, stepCount).reverse();
		case "trailing":
			return trailingTimesteps(config.trainTimesteps, stepCount);
	}
}
