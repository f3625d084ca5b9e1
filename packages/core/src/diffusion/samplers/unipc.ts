import { type Combination, combine, makePlan, makeStep, type SamplingPlan } from "../sampling-plan.js";
import type { SchedulerConfig } from "../scheduler-config.js";
import { cleanEstimate } from "./prediction.js";
import { coincide, type Level, solverLevels } from "./solver-levels.js";

/**
 * UniPC (Zhao et al. 2023), data prediction, B₂(h), of order 1 or 2.
 *
 * From the second step on, the new estimate first corrects the latents of the step before. History: slot 0 holds the
 * latents from which the last step started, slots 1 and 2 the last two estimates.
 */
export function planUniPc(config: SchedulerConfig, alphas: Float32Array, stepCount: number): SamplingPlan {
	const { timesteps, levels } = solverLevels(config, alphas, stepCount);
	const orders = timesteps.map((_, i) => {
		const available = i > 0 && !coincide(levels[i - 1]!, levels[i]!) ? config.solverOrder : 1;
		const end = levels[i + 1]!;
		const isLowered = end.sigma === 0 || config.lowerOrderFinal;
		return isLowered ? Math.min(available, stepCount - i) : available;
	});
	const steps = timesteps.map((timestep, i) => {
		const isCorrected = i > 0 && !config.disableCorrector.includes(i - 1) && !coincide(levels[i - 1]!, levels[i]!);
		const start: Combination = isCorrected ? corrected(levels, i, orders[i - 1]!) : { latents: 1 };
		return makeStep({
			timestep,
			estimate: cleanEstimate(config.predictionType, levels[i]!.alpha, levels[i]!.sigma),
			next: predicted(start, levels, i, orders[i]!),
			history: [start, { estimate: 1 }, { history: [0, 1] }],
		});
	});
	return makePlan(1, steps);
}

/** The step from level i to i + 1, given the (corrected) latents at i. */
function predicted(start: Combination, levels: readonly Level[], i: number, order: number): Combination {
	const from = levels[i]!;
	const to = levels[i + 1]!;
	const gain = -to.alpha * Math.expm1(from.lambda - to.lambda);
	// ½ / r, r being the previous step's length in λ over this one's, negative as it lies behind.
	const slope = order === 2 ? (to.lambda - from.lambda) / (2 * (levels[i - 1]!.lambda - from.lambda)) : 0;
	return combine(to.sigma / from.sigma, start, { estimate: gain * (1 - slope), history: [0, gain * slope] });
}

/** The latents at level i, made again from those at i − 1 with the estimate at i. */
function corrected(levels: readonly Level[], i: number, order: number): Combination {
	const from = levels[i - 1]!;
	const to = levels[i]!;
	const h = to.lambda - from.lambda;
	const gain = -to.alpha * Math.expm1(-h);
	const weights = correctorWeights(h, order === 2 ? (levels[i - 2]!.lambda - from.lambda) / h : undefined);
	// Slot 1 is the estimate at i − 1, slot 2 the one at i − 2.
	return {
		estimate: gain * weights.current,
		history: [to.sigma / from.sigma, gain * (1 - weights.current - weights.before), gain * weights.before],
	};
}

/**
 * How much of the differences (current − last) and (before − last) of the estimates the corrector adds; of order 2 when
 * `ratio`, the position of the estimate before the last in units of the step, is given.
 */
function correctorWeights(h: number, ratio: number | undefined): { current: number; before: number } {
	if (ratio === undefined) return { current: 0.5, before: 0 };
	const b = Math.expm1(-h);
	const phi1 = b / -h - 1;
	const b1 = phi1 / b;
	const b2 = (2 * (phi1 / -h - 0.5)) / b;
	const slope = (b1 - b2) / (1 - ratio);
	return { current: b1 - slope, before: slope / ratio };
}
