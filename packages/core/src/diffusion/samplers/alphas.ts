import { ArgumentError } from "../../errors.js";
import type { SchedulerConfig } from "../scheduler-config.js";
import { integerTimesteps } from "../spacing.js";

/** ᾱ of an integer timestep; `past` below 0, where the last step of a sampler ends. */
export function alphaAt(alphas: Float32Array, timestep: number, past: number): number {
	if (timestep < 0) return past;
	const alpha = alphas[timestep];
	if (alpha === undefined) throw outsideSchedule(timestep, alphas.length);
	return alpha;
}

/** The integer timesteps that DDIM, DDPM and PNDM visit, descending. */
export function visitedTimesteps(config: SchedulerConfig, stepCount: number): number[] {
	const timesteps = integerTimesteps(config.timestepSpacing, config.trainTimesteps, stepCount, config.stepsOffset);
	checkTimesteps(timesteps, config.trainTimesteps);
	return timesteps;
}

/** Refuses timesteps that the schedule does not have, as a large step count with an offset gives. */
export function checkTimesteps(timesteps: readonly number[], trainTimesteps: number): void {
	for (const timestep of timesteps) {
		if (!(timestep >= 0 && timestep <= trainTimesteps - 1)) throw outsideSchedule(timestep, trainTimesteps);
	}
}

function outsideSchedule(timestep: number, trainTimesteps: number): ArgumentError {
	return new ArgumentError(
		`Timestep ${timestep} is outside of the schedule's 0 to ${trainTimesteps - 1}: take fewer steps or a smaller ` +
			"steps_offset.",
	);
}
