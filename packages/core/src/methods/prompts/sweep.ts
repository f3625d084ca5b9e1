// Sources between which one thing changes: the scale of the deviation, or the weights of a mix (the paper's Figures 5 and 6).
import { ArgumentError } from "../../errors.js";
import type { PromptSource, SampledSource } from "./distribution.js";
import { checkWeights, type MixRule, mixFeatures, type PromptSampler } from "./feature-distribution.js";
import type { PromptEncoder } from "./prompt-encoder.js";

/** One source per value: its deviation times the value. The prompts are encoded once for all of them. */
export function sweepScale(source: SampledSource, values: readonly number[]): SampledSource[] {
	const shared = encodedOnce(source);
	return values.map((value) => ({ fit: async (encoder) => (await shared(encoder)).scale(value) }));
}

/**
 * The weights of a mix in which the last part has the weight `value` and the others share the rest in proportion to their own: of
 * two, the first goes from 1 to 0 as the second goes from 0 to 1.
 *
 * @param weights of all parts, which sum to 1; the last is replaced
 * @throws ArgumentError unless the value is from 0 to 1 and some other part has a weight
 */
export function sweptWeights(weights: readonly number[], value: number): number[] {
	if (weights.length < 2) throw new ArgumentError("a sweep of the mix needs two distributions or more");
	checkWeights(weights);
	if (!(value >= 0 && value <= 1)) throw new ArgumentError(`a weight of a mix must be from 0 to 1, not ${value}`);
	const others = weights.slice(0, -1);
	// Of one other, whatever its weight, all that is left.
	if (others.length === 1) return [1 - value, value];
	const total = others.reduce((a, b) => a + b);
	if (total === 0) throw new ArgumentError("a sweep of the mix needs a weight above 0 beside the last distribution's");
	return [...others.map((weight) => ((1 - value) * weight) / total), value];
}

/** One mix per value, with the weights of `sweptWeights`. Each part is encoded once for all of them. */
export function sweepMix(
	parts: readonly { source: PromptSource; weight: number }[],
	values: readonly number[],
	rule: MixRule = "paper",
): PromptSource[] {
	const weights = values.map((value) =>
		sweptWeights(
			parts.map(({ weight }) => weight),
			value,
		),
	);
	const shared = parts.map(({ source }) => encodedOnce(source));
	return weights.map((own) => ({
		fit: async (encoder) => {
			const fitted = [];
			for (const [i, part] of shared.entries()) fitted.push({ distribution: await part(encoder), weight: own[i]! });
			return mixFeatures(fitted, rule);
		},
	}));
}

function encodedOnce<T extends PromptSampler>(source: {
	fit(encoder: PromptEncoder): Promise<T>;
}): (encoder: PromptEncoder) => Promise<T> {
	const fitted = new WeakMap<PromptEncoder, Promise<T>>();
	return (encoder) => {
		let result = fitted.get(encoder);
		if (!result) {
			result = source.fit(encoder);
			fitted.set(encoder, result);
		}
		return result;
	};
}
