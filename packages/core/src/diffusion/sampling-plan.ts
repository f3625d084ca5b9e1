import { ArgumentError } from "../errors.js";

/**
 * Every sampler here is one linear recurrence. With x the latents, h the history slots, o the model's output (after
 * guidance), m the estimate of the clean latents and n fresh noise, a step is
 *
 *     model input = inputScale · x
 *     m           = clamp(estimate.latents · x + estimate.output · o, ± estimate.limit)
 *     (x, h) next = transition · (x, h, o, m, n)
 *
 * Only the scalars differ between samplers, steps and step counts, so one compiled program runs them all, with the
 * scalars as its inputs.
 */

/** History slots of every plan; what PNDM and UniPC need. They start as zeros. */
export const HISTORY_SLOTS = 3;

/** Columns of a transition: latents, the history slots, model output, estimate, noise. */
export const OPERANDS = 1 + HISTORY_SLOTS + 3;
const OUTPUT_COLUMN = 1 + HISTORY_SLOTS;
const ESTIMATE_COLUMN = OUTPUT_COLUMN + 1;
export const NOISE_COLUMN = ESTIMATE_COLUMN + 1;

/** The limit of an estimate that is not clipped: float32's largest number, so that a device needs no infinities. */
export const UNLIMITED = 3.4028234663852886e38;

/** The estimate of the clean latents, in data units even for samplers whose latents are scaled otherwise. */
export interface Estimate {
	latents: number;
	output: number;
	limit: number;
}

export interface StepPlan {
	/** As given to the model; Euler's may lie between training timesteps. */
	timestep: number;
	inputScale: number;
	estimate: Estimate;
	/** Row-major [1 + HISTORY_SLOTS, OPERANDS]; row 0 makes the next latents, row 1 + i history slot i. */
	transition: Float64Array;
}

export interface SamplingPlan {
	/** The first latents are unit normal noise times this. */
	initNoiseSigma: number;
	/** One per call of the model; PNDM calls it once more than the number of steps asked for. */
	steps: StepPlan[];
	/** The steps' timesteps. */
	timesteps: number[];
	/** Whether any step adds noise of its own. */
	addsNoise: boolean;
}

/** Scalars by which the operands of a step are summed; what is left out is 0. */
export interface Combination {
	latents?: number;
	/** By slot. */
	history?: readonly number[];
	output?: number;
	estimate?: number;
	noise?: number;
}

export interface StepRecipe {
	timestep: number;
	/** 1 when left out. */
	inputScale?: number;
	estimate: Estimate;
	next: Combination;
	/** What each history slot becomes; slots left out are cleared. */
	history?: readonly Combination[];
}

/** Lays out a step's combinations as its transition matrix. */
export function makeStep(recipe: StepRecipe): StepPlan {
	const transition = new Float64Array((1 + HISTORY_SLOTS) * OPERANDS);
	for (const [row, combination] of [recipe.next, ...(recipe.history ?? [])].entries()) {
		const offset = row * OPERANDS;
		transition[offset] = combination.latents ?? 0;
		transition.set(combination.history ?? [], offset + 1);
		transition[offset + OUTPUT_COLUMN] = combination.output ?? 0;
		transition[offset + ESTIMATE_COLUMN] = combination.estimate ?? 0;
		transition[offset + NOISE_COLUMN] = combination.noise ?? 0;
	}
	return { timestep: recipe.timestep, inputScale: recipe.inputScale ?? 1, estimate: recipe.estimate, transition };
}

/** `scale` times a combination, plus another; both may name the same operands. */
export function combine(scale: number, a: Combination, b: Combination = {}): Combination {
	const history = Array.from(
		{ length: HISTORY_SLOTS },
		(_, slot) => scale * (a.history?.[slot] ?? 0) + (b.history?.[slot] ?? 0),
	);
	return {
		latents: scale * (a.latents ?? 0) + (b.latents ?? 0),
		history,
		output: scale * (a.output ?? 0) + (b.output ?? 0),
		estimate: scale * (a.estimate ?? 0) + (b.estimate ?? 0),
		noise: scale * (a.noise ?? 0) + (b.noise ?? 0),
	};
}

/** Puts steps together. @throws ArgumentError when a coefficient is not finite, naming the step. */
export function makePlan(initNoiseSigma: number, steps: StepPlan[]): SamplingPlan {
	for (const [i, { timestep, inputScale, estimate, transition }] of steps.entries()) {
		const scalars = [timestep, inputScale, estimate.latents, estimate.output, ...transition];
		if (!scalars.every(Number.isFinite)) {
			throw new ArgumentError(
				`Step ${i + 1} of the sampling plan (timestep ${timestep}) has a coefficient that is not finite.`,
			);
		}
	}
	return {
		initNoiseSigma,
		steps,
		timesteps: steps.map((step) => step.timestep),
		addsNoise: steps.some((step) => step.transition[NOISE_COLUMN] !== 0),
	};
}

/** Where a step's scalars lie in its row of {@link coefficientTable}. */
export const STEP_COEFFICIENTS = {
	timestep: 0,
	inputScale: 1,
	estimateLatents: 2,
	estimateOutput: 3,
	estimateLimit: 4,
	transition: 5,
	count: 5 + (1 + HISTORY_SLOTS) * OPERANDS,
} as const;

/** A plan's scalars as a device program takes them: [steps, STEP_COEFFICIENTS.count] float32, row-major. */
export function coefficientTable(plan: SamplingPlan): Float32Array {
	const table = new Float32Array(plan.steps.length * STEP_COEFFICIENTS.count);
	for (const [i, step] of plan.steps.entries()) {
		const { estimate } = step;
		const row = i * STEP_COEFFICIENTS.count;
		table.set([step.timestep, step.inputScale, estimate.latents, estimate.output, estimate.limit], row);
		table.set(step.transition, row + STEP_COEFFICIENTS.transition);
	}
	return table;
}
