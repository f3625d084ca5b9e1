import { ArgumentError } from "../errors.js";
import { HISTORY_SLOTS, NOISE_COLUMN, OPERANDS, type SamplingPlan, type StepPlan } from "./sampling-plan.js";

/** What a sampler carries from step to step. All vectors have the same length. */
export interface SamplerState<Vector extends Float32Array | Float64Array> {
	latents: Vector;
	/** HISTORY_SLOTS vectors. */
	history: Vector[];
}

/** The state before the first step, from unit normal noise of the latents' shape. */
export function startSampling(plan: SamplingPlan, noise: Float32Array): SamplerState<Float32Array>;
export function startSampling(plan: SamplingPlan, noise: Float64Array): SamplerState<Float64Array>;
export function startSampling(
	plan: SamplingPlan,
	noise: Float32Array | Float64Array,
): SamplerState<Float32Array | Float64Array> {
	return {
		latents: noise.map((value) => value * plan.initNoiseSigma),
		history: Array.from({ length: HISTORY_SLOTS }, () => noise.map(() => 0)),
	};
}

/** What the model is given at this step. */
export function modelInput(step: StepPlan, latents: Float32Array): Float32Array;
export function modelInput(step: StepPlan, latents: Float64Array): Float64Array;
export function modelInput(step: StepPlan, latents: Float32Array | Float64Array): Float32Array | Float64Array {
	return latents.map((value) => value * step.inputScale);
}

/**
 * Takes one sampling step on the host: the reference for the device's program, and the executor of tests.
 *
 * @param state changed in place
 * @param output the model's output at {@link modelInput}, after guidance
 * @param noise fresh unit normal noise; only where the plan adds noise
 */
export function applyStep<Vector extends Float32Array | Float64Array>(
	step: StepPlan,
	state: SamplerState<Vector>,
	output: Vector,
	noise?: Vector,
): void {
	const { latents, history } = state;
	const { transition, estimate } = step;
	if (output.length !== latents.length || (noise && noise.length !== latents.length)) {
		throw new ArgumentError(`The model's output has ${output.length} numbers and the latents ${latents.length}.`);
	}
	if (!noise && transition[NOISE_COLUMN] !== 0)
		throw new ArgumentError("This sampling step adds noise and was given none.");
	const operands = new Float64Array(OPERANDS);
	const targets = [latents, ...history];
	for (let i = 0; i < latents.length; i++) {
		const x = latents[i]!;
		const o = output[i]!;
		const m = estimate.latents * x + estimate.output * o;
		operands[0] = x;
		for (let slot = 0; slot < HISTORY_SLOTS; slot++) operands[1 + slot] = history[slot]![i]!;
		operands.set([o, Math.min(Math.max(m, -estimate.limit), estimate.limit), noise?.[i] ?? 0], 1 + HISTORY_SLOTS);
		for (const [row, target] of targets.entries()) {
			let sum = 0;
			for (let column = 0; column < OPERANDS; column++) {
				sum += transition[row * OPERANDS + column]! * operands[column]!;
			}
			target[i] = sum;
		}
	}
}
