// Which random numbers a run of learning draws. Every number depends on the seed, the step and its place in the step alone: nothing
// has to be stored to resume, and batch split, thread count and device don't change it.
import { ArgumentError } from "../../errors.js";
import { philox4x32 } from "../../ops/random.js";

/** What numbers are drawn for. Values are part of what a seed means and never change. */
export const PURPOSES = {
	tokens: 0,
	order: 1,
	augmentation: 2,
	timestep: 3,
	latents: 4,
	noise: 5,
	noiseOffset: 6,
	omega: 7,
	pictureNoise: 8,
	pictureOmega: 9,
	samplerNoise: 10,
	priorOrder: 11,
	template: 12,
	weights: 13,
	scale: 14,
} as const;
export type Purpose = keyof typeof PURPOSES;

/** Indices below this are kept apart from other purposes'. */
const INDICES = 2 ** 26;

/** @throws ArgumentError unless the seed is a whole number from 0 to 2⁵³ − 1 */
export function checkSeed(seed: number): void {
	if (!Number.isSafeInteger(seed) || seed < 0)
		throw new ArgumentError(`the seed must be a whole number from 0 to ${Number.MAX_SAFE_INTEGER}, not ${seed}`);
}

/** A key of the `random` op: two words of seed, the step (or epoch, or picture), and purpose and index in one word. */
export function randomKey(
	seed: number,
	purpose: Purpose,
	step: number,
	index: number,
): [number, number, number, number] {
	if (index >= INDICES) throw new ArgumentError(`a step draws at most ${INDICES} times, not ${index + 1}`);
	return [seed | 0, Math.floor(seed / 2 ** 32) | 0, step | 0, PURPOSES[purpose] * INDICES + index];
}

/** Keys of consecutive indices, i32 [count, 4]. */
export function randomKeys(seed: number, purpose: Purpose, step: number, from: number, count: number): Int32Array {
	const keys = new Int32Array(count * 4);
	for (let i = 0; i < count; i++) keys.set(randomKey(seed, purpose, step, from + i), i * 4);
	return keys;
}

/** Uniform in [0, 1) with 32 bits, on the host: number `index` of (seed, purpose, step). */
export function uniform(seed: number, purpose: Purpose, step: number, index: number): number {
	const [low, high, counter, place] = randomKey(seed, purpose, step, index);
	return philox4x32([0, 0, counter, place], [low, high])[0] * 2 ** -32;
}

/** Standard normal numbers on the host, as the `random` op makes them: row (seed, purpose, step, index). */
export function normals(seed: number, purpose: Purpose, step: number, index: number, count: number): Float32Array {
	const [low, high, counter, place] = randomKey(seed, purpose, step, index);
	const out = new Float32Array(count);
	for (let at = 0; at < count; at += 4) {
		const words = philox4x32([at / 4, 0, counter, place], [low, high]);
		for (const pair of [0, 2] as const) {
			const radius = Math.sqrt(-2 * Math.log((words[pair]! + 1) * 2 ** -32));
			const angle = 2 * Math.PI * (words[pair + 1]! * 2 ** -32);
			if (at + pair < count) out[at + pair] = radius * Math.cos(angle);
			if (at + pair + 1 < count) out[at + pair + 1] = radius * Math.sin(angle);
		}
	}
	return out;
}

/** 0 … count − 1 in an order of its own for each epoch (Fisher–Yates). */
export function shuffledOrder(seed: number, epoch: number, count: number, purpose: Purpose = "order"): number[] {
	const order = Array.from({ length: count }, (_, i) => i);
	for (let i = count - 1; i > 0; i--) {
		const other = Math.floor(uniform(seed, purpose, epoch, i) * (i + 1));
		[order[i], order[other]] = [order[other]!, order[i]!];
	}
	return order;
}
