// Which timesteps training draws.
import { ArgumentError } from "../errors.js";

/** Timesteps are drawn from [minTimestep, maxTimestep), evenly. Null: to the schedule's end. */
export interface TimestepRange {
	readonly minTimestep: number;
	readonly maxTimestep: number | null;
}

/** @throws ArgumentError for a range that has no timestep or leaves the model's */
export function checkTimesteps({ minTimestep, maxTimestep }: TimestepRange, trainTimesteps: number): void {
	const end = maxTimestep ?? trainTimesteps;
	if (end > trainTimesteps || minTimestep >= end)
		throw new ArgumentError(
			`timesteps from ${minTimestep} to ${end} do not fit the model's ${trainTimesteps}; they are counted from 0`,
		);
}

/** @param uniform from [0, 1) */
export function drawTimestep(
	{ minTimestep, maxTimestep }: TimestepRange,
	trainTimesteps: number,
	uniform: number,
): number {
	return minTimestep + Math.floor(uniform * ((maxTimestep ?? trainTimesteps) - minTimestep));
}
