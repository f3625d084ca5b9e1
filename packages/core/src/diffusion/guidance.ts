import { ArgumentError } from "../errors.js";
export interface GuidanceOptions {
	/** Classifier-free guidance scale g: 1 gives the conditional output, 7.5 is usual. */
	scale: number;
	/** φ from 0 (off, the default) to 1: how far the result's spread is brought back to the conditional output's. */
	rescale?: number | undefined;
}

/**
 * Classifier-free guidance u + g (c − u), with the rescaling of Lin et al. 2023 (§3.4): each sample is multiplied by
 * φ std(c)/std(result) + 1 − φ, the standard deviations taken over the whole sample.
 *
 * @param unconditional the model's output for the negative prompt, [samples, n] flattened
 * @param conditional the model's output for the prompt, same shape
 * @param samples number of samples in the batch
 * @returns a new array of the same shape
 */
export function applyGuidance(
	unconditional: Float32Array,
	conditional: Float32Array,
	samples: number,
	options: GuidanceOptions,
): Float32Array {
	const { scale, rescale = 0 } = options;
	if (!(rescale >= 0 && rescale <= 1))
		throw new ArgumentError(`The guidance rescale must be from 0 to 1, not ${rescale}.`);
	if (unconditional.length !== conditional.length || !(samples > 0) || conditional.length % samples !== 0) {
		throw new ArgumentError(
			`${samples} samples do not divide outputs of ${unconditional.length} and ${conditional.length} numbers.`,
		);
	}
	const guided = conditional.map((c, i) => unconditional[i]! + scale * (c - unconditional[i]!));
	if (rescale === 0) return guided;
	const length = conditional.length / samples;
	for (let start = 0; start < guided.length; start += length) {
		const row = guided.subarray(start, start + length);
		const spread = deviation(row);
		// A constant sample has no spread to correct.
		if (spread === 0) continue;
		const factor = (rescale * deviation(conditional.subarray(start, start + length))) / spread + 1 - rescale;
		for (let i = 0; i < row.length; i++) row[i]! *= factor;
	}
	return guided;
}

function deviation(values: Float32Array): number {
	let mean = 0;
	for (const value of values) mean += value / values.length;
	let squares = 0;
	for (const value of values) squares += (value - mean) ** 2;
	return Math.sqrt(squares / values.length);
}
