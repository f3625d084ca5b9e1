import { ArgumentError } from "../errors.js";
import { cumulativeAlphas } from "./betas.js";
import { planDdim } from "./samplers/ddim.js";
import { planDdpm } from "./samplers/ddpm.js";
import { planDpmSolver } from "./samplers/dpm-solver.js";
import { planEuler } from "./samplers/euler.js";
import { planPndm } from "./samplers/pndm.js";
import { planUniPc } from "./samplers/unipc.js";
import type { SamplingPlan } from "./sampling-plan.js";
import type { SchedulerConfig } from "./scheduler-config.js";

export interface SamplingOptions {
	/** Sampling steps, 1 to the schedule's training timesteps. */
	steps: number;
	/** DDIM only: 0 (the default) is deterministic, 1 adds as much noise as DDPM. */
	eta?: number | undefined;
}

/**
 * The scalars of every step of a sampler: timesteps for the model, and the linear recipe of each step.
 *
 * @throws ArgumentError for a step count or η that the sampler cannot take
 */
export function planSampling(config: SchedulerConfig, options: SamplingOptions): SamplingPlan {
	const { steps, eta } = options;
	if (!Number.isInteger(steps) || steps < 1 || steps > config.trainTimesteps) {
		throw new ArgumentError(
			`The number of sampling steps must be an integer from 1 to ${config.trainTimesteps}, not ${steps}.`,
		);
	}
	if (eta !== undefined && config.sampler !== "ddim")
		throw new ArgumentError(`The ${config.sampler} sampler has no eta; ddim has.`);
	if (eta !== undefined && !(eta >= 0 && eta <= 1))
		throw new ArgumentError(`DDIM's eta must be from 0 to 1, not ${eta}.`);
	const alphas = cumulativeAlphas(config);
	switch (config.sampler) {
		case "ddim":
			return planDdim(config, alphas, steps, eta ?? 0);
		case "ddpm":
			return planDdpm(config, alphas, steps);
		case "pndm":
			return planPndm(config, alphas, steps);
		case "euler":
		case "euler_ancestral":
			return planEuler(config, alphas, steps);
		case "dpmsolver++2m":
			return planDpmSolver(config, alphas, steps);
		case "unipc":
			return planUniPc(config, alphas, steps);
	}
}
