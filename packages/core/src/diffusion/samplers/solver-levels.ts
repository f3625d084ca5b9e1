import type { SchedulerConfig } from "../scheduler-config.js";
import { karrasSigmas, sigmaAt, timestepOf, trainingSigmas } from "../sigmas.js";
import { leadingTimesteps, linspace, roundHalfEven, trailingTimesteps } from "../spacing.js";
import { checkTimesteps } from "./alphas.js";

/** A noise level of the variance-preserving process x = alpha x₀ + sigma ε. */
export interface Level {
	alpha: number;
	sigma: number;
	/** λ = ln(alpha/sigma), half the log signal-to-noise ratio; infinite without noise. */
	lambda: number;
}

export interface SolverLevels {
	timesteps: number[];
	/** One more than timesteps; where each step starts, and where the last one ends. */
	levels: Level[];
}

/** The timesteps and noise levels of DPM-Solver++ and UniPC: N of N + 1 points, the last one being the clean end. */
export function solverLevels(config: SchedulerConfig, alphas: Float32Array, stepCount: number): SolverLevels {
	const training = trainingSigmas(alphas);
	const end = config.finalSigmas === "zero" ? 0 : training[0]!;
	if (config.useKarrasSigmas) {
		const sigmas = karrasSigmas(training[training.length - 1]!, training[0]!, stepCount);
		const timesteps = sigmas.map((sigma) => {
			const timestep = timestepOf(training, sigma);
			// diffusers leaves this combination unrounded in DPM-Solver++.
			const isContinuous = config.sampler === "dpmsolver++2m" && config.betaSchedule === "squaredcos_cap_v2";
			return isContinuous ? Math.floor(timestep) : roundHalfEven(timestep);
		});
		return { timesteps, levels: [...sigmas, end].map(levelOf) };
	}
	const timesteps = solverTimesteps(config, stepCount);
	checkTimesteps(timesteps, config.trainTimesteps);
	const sigmas = timesteps.map((timestep) => sigmaAt(training, timestep));
	return { timesteps, levels: [...sigmas, end].map(levelOf) };
}

function solverTimesteps(config: SchedulerConfig, stepCount: number): number[] {
	const { trainTimesteps, stepsOffset } = config;
	switch (config.timestepSpacing) {
		case "leading":
			return leadingTimesteps(trainTimesteps, stepCount + 1, stepsOffset).slice(0, -1);
		case "linspace":
			return linspace(0, trainTimesteps - 1, stepCount + 1)
				.map(roundHalfEven)
				.reverse()
				.slice(0, -1);
		case "trailing":
			return trailingTimesteps(trainTimesteps, stepCount);
	}
}

function levelOf(sigmaRatio: number): Level {
	const alpha = 1 / Math.sqrt(sigmaRatio ** 2 + 1);
	return { alpha, sigma: sigmaRatio * alpha, lambda: -Math.log(sigmaRatio) };
}

/** Whether rounded timesteps made two levels one, as happens with many steps: nothing can be extrapolated from them. */
export function coincide(a: Level, b: Level): boolean {
	return a.lambda === b.lambda;
}
