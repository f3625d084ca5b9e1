// Which random numbers full training draws. Each depends on the seed, the step and its place in the step alone: nothing has to be stored
// to resume.
import { philox4x32 } from "@dreamdist/core";

/** What numbers are drawn for. Values are part of what a seed means and never change. */
const PURPOSES = { weights: 0, latents: 1, noise: 2, timesteps: 3, emptyCaptions: 4, captions: 5, pool: 6 } as const;
export type Purpose = keyof typeof PURPOSES;

const INDICES = 2 ** 24;

/** Counts apart from those of learning prompts, which use the plain seed. */
const STREAM = 0x70726574;

/** Keys of `count` rows of random numbers, i32 [count, 4], for `philoxNormal` and the like. */
export function randomKeys(seed: number, purpose: Purpose, step: number, count: number): Int32Array {
	const keys = new Int32Array(count * 4);
	for (let i = 0; i < count; i++) keys.set([seed, STREAM, step, PURPOSES[purpose] * INDICES + i], i * 4);
	return keys;
}

/** Uniform in [0, 1) with 32 bits. */
export function uniform(seed: number, purpose: Purpose, step: number, index: number): number {
	return philox4x32([0, 0, step, PURPOSES[purpose] * INDICES + index], [seed, STREAM])[0] * 2 ** -32;
}

/** `count` standard normal numbers of weight tensor `tensor`. */
export function weightNormals(seed: number, tensor: number, count: number): Float32Array {
	const out = new Float32Array(count);
	for (let at = 0; at < count; at += 4) {
		const words = philox4x32([at / 4, 0, tensor, PURPOSES.weights], [seed, STREAM]);
		for (const pair of [0, 2] as const) {
			const radius = Math.sqrt(-2 * Math.log((words[pair] + 1) * 2 ** -32));
			const angle = 2 * Math.PI * (words[pair + 1]! * 2 ** -32);
			if (at + pair < count) out[at + pair] = radius * Math.cos(angle);
			if (at + pair + 1 < count) out[at + pair + 1] = radius * Math.sin(angle);
		}
	}
	return out;
}
