import { type Combination, combine, makePlan, makeStep, type SamplingPlan, type StepPlan } from "../sampling-plan.js";
import type { SchedulerConfig } from "../scheduler-config.js";
import { alphaAt, visitedTimesteps } from "./alphas.js";
import { cleanEstimate, noiseEstimate } from "./prediction.js";

/**
 * Pseudo linear multistep method (Liu et al. 2022) as latent diffusion starts it: without Runge–Kutta steps, the second
 * timestep is visited twice, the first time to improve on the first step.
 *
 * A step needs past model outputs, which are averaged as they are and then turned into noise at the current latents.
 * For epsilon that is the method; for v_prediction it is diffusers' reading of it, which others must match.
 */
export function planPndm(config: SchedulerConfig, alphas: Float32Array, stepCount: number): SamplingPlan {
	const visited = visitedTimesteps(config, stepCount);
	const timesteps = stepCount > 1 ? [...visited.slice(0, 2), ...visited.slice(1)] : visited;
	return makePlan(
		1,
		timesteps.map((timestep, call) => planCall(config, alphas, stepCount, timestep, call)),
	);
}

function planCall(
	config: SchedulerConfig,
	alphas: Float32Array,
	stepCount: number,
	timestep: number,
	call: number,
): StepPlan {
	const stride = Math.floor(config.trainTimesteps / stepCount);
	const finalAlpha = config.setAlphaToOne ? 1 : alphas[0]!;
	// The second call repeats the first step with a better slope: it starts from the latents kept in slot 1.
	const from = call === 1 ? timestep + stride : timestep;
	const start: Combination = call === 1 ? { history: [0, 1] } : { latents: 1 };

	const alpha = alphaAt(alphas, from, 1);
	const nextAlpha = alphaAt(alphas, from - stride, finalAlpha);
	const a = Math.sqrt(alpha);
	const s = Math.sqrt(1 - alpha);
	const noise = noiseEstimate(config.predictionType, a, s);
	const slope = combine(noise.output ?? 0, averageOutput(call), combine(noise.latents ?? 0, start));
	const denominator = alpha * Math.sqrt(1 - nextAlpha) + Math.sqrt(alpha * (1 - alpha) * nextAlpha);
	const shown = alphaAt(alphas, timestep, 1);
	return makeStep({
		timestep,
		estimate: cleanEstimate(config.predictionType, Math.sqrt(shown), Math.sqrt(1 - shown)),
		next: combine(-(nextAlpha - alpha) / denominator, slope, combine(Math.sqrt(nextAlpha / alpha), start)),
		history: nextHistory(call),
	});
}

/** Adams–Bashforth over the outputs in the slots, of the order that the history allows. */
function averageOutput(call: number): Combination {
	switch (call) {
		case 0:
			return { output: 1 };
		case 1:
			return { output: 1 / 2, history: [1 / 2] };
		case 2:
			return { output: 3 / 2, history: [-1 / 2] };
		case 3:
			return { output: 23 / 12, history: [-16 / 12, 5 / 12] };
		default:
			return { output: 55 / 24, history: [-59 / 24, 37 / 24, -9 / 24] };
	}
}

/** Slot 0 keeps the newest output. The first call also keeps the latents, in a slot that no output needs yet. */
function nextHistory(call: number): Combination[] {
	if (call === 0) return [{ output: 1 }, { latents: 1 }];
	if (call === 1) return [{ history: [1] }];
	return [{ output: 1 }, { history: [1] }, { history: [0, 1] }];
}
