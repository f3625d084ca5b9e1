import { makePlan, makeStep, type SamplingPlan } from "../sampling-plan.js";
import type { SchedulerConfig } from "../scheduler-config.js";
import { cleanEstimate } from "./prediction.js";
import { coincide, type Level, solverLevels } from "./solver-levels.js";

/** Below this many steps the last one is taken with order 1 (`lower_order_final`), which is stabler. */
const FEW_STEPS = 15;

/** DPM-Solver++ in its multistep form, midpoint variant (Lu et al. 2022, Algorithm 2), of order 1 or 2. */
export function planDpmSolver(config: SchedulerConfig, alphas: Float32Array, stepCount: number): SamplingPlan {
	const { timesteps, levels } = solverLevels(config, alphas, stepCount);
	const steps = timesteps.map((timestep, i) => {
		const start = levels[i]!;
		const end = levels[i + 1]!;
		const endsPlain =
			i === stepCount - 1 &&
			(end.sigma === 0 || config.eulerAtFinal || (config.lowerOrderFinal && stepCount < FEW_STEPS));
		const isSecondOrder = config.solverOrder === 2 && i > 0 && !endsPlain && !coincide(levels[i - 1]!, start);
		// 1 / (2 r) of the paper, by which the last two estimates are extrapolated.
		const extrapolation = isSecondOrder ? extrapolationWeight(levels[i - 1]!, start, end) : 0;
		const gain = -end.alpha * Math.expm1(start.lambda - end.lambda);
		return makeStep({
			timestep,
			estimate: cleanEstimate(config.predictionType, start.alpha, start.sigma),
			next: {
				latents: end.sigma / start.sigma,
				estimate: gain * (1 + extrapolation),
				history: [-gain * extrapolation],
			},
			history: [{ estimate: 1 }],
		});
	});
	return makePlan(1, steps);
}

function extrapolationWeight(before: Level, start: Level, end: Level): number {
	return (end.lambda - start.lambda) / (2 * (start.lambda - before.lambda));
}
