/** Which training timesteps are visited when sampling (Lin et al. 2023, Table 2). */
export const TIMESTEP_SPACINGS = ["leading", "linspace", "trailing"] as const;
export type TimestepSpacing = (typeof TIMESTEP_SPACINGS)[number];

/**
 * `count` numbers from `start` to `end`, both included; `start` alone when count is 1. Whole multiples of one step, so
 * that rounding the results afterwards decides ties as numpy's linspace does.
 */
export function linspace(start: number, end: number, count: number): number[] {
	const step = (end - start) / (count - 1);
	return Array.from({ length: count }, (_, i) => (i === 0 ? start : i === count - 1 ? end : i * step + start));
}

/** Rounds halves to the even neighbour, as numpy does: with it 937.5 and 812.5 become 938 and 812. */
export function roundHalfEven(value: number): number {
	const rounded = Math.round(value);
	return rounded - value === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/** t_i = i · ⌊T/N⌋ + offset, descending. */
export function leadingTimesteps(trainTimesteps: number, steps: number, offset: number): number[] {
	const ratio = Math.floor(trainTimesteps / steps);
	return Array.from({ length: steps }, (_, i) => (steps - 1 - i) * ratio + offset);
}

/** t_i = round(T − i · T/N) − 1, descending from T − 1. */
export function trailingTimesteps(trainTimesteps: number, steps: number): number[] {
	return Array.from({ length: steps }, (_, i) => roundHalfEven(trainTimesteps - (i * trainTimesteps) / steps) - 1);
}

/** Timesteps of the samplers that step from one integer timestep to the next (DDIM, DDPM, PNDM), descending. */
export function integerTimesteps(
	spacing: TimestepSpacing,
	trainTimesteps: number,
	steps: number,
	offset: number,
): number[] {
	switch (spacing) {
		case "leading":
			return leadingTimesteps(trainTimesteps, steps, offset);
		case "linspace":
			return linspace(0, trainTimesteps - 1, steps)
				.map(roundHalfEven)
				.reverse();
		case "trailing":
			return trailingTimesteps(trainTimesteps, steps);
	}
}
