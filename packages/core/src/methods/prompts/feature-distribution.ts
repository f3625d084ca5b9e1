// Gaussians over text features: sampling, scaling, mixing. Plain arrays; nothing here needs a device.
import { ArgumentError } from "../../errors.js";
import { normals } from "./randomness.js";

/** What prompts are drawn from. */
export interface PromptSampler {
	/** Features of prompt number `index` (default 0) of a seed, [L, d]: always the same numbers, whatever else is drawn. */
	sample(seed: number, index?: number): Float32Array | Promise<Float32Array>;
	/** The same with the deviation times `gamma`. */
	scale(gamma: number): PromptSampler;
}

/** The standard normal numbers that prompt `index` of a seed is made with. */
export function promptOmega(seed: number, index: number, count: number): Float32Array {
	return normals(seed, "pictureOmega", 0, index, count);
}

/** A diagonal Gaussian over text features: one mean and standard deviation per position and channel. */
export class FeatureDistribution implements PromptSampler {
	constructor(
		/** [L, d] */
		readonly mean: Float32Array,
		/** [L, d] */
		readonly std: Float32Array,
		/** L */
		readonly length: number,
		/** d */
		readonly width: number,
	) {
		if (mean.length !== length * width || std.length !== length * width)
			throw new ArgumentError(
				`a feature distribution of shape [${length}, ${width}] has ${length * width} means and deviations, not ${mean.length} and ${std.length}`,
			);
	}

	/** The same mean with the deviation times `gamma`: 0 gives the mean prompt, more than 1 more variety. */
	scale(gamma: number): FeatureDistribution {
		if (!(Number.isFinite(gamma) && gamma >= 0))
			throw new ArgumentError(`the scale of a distribution must be a number from 0 on, not ${gamma}`);
		return new FeatureDistribution(
			this.mean,
			this.std.map((value) => value * gamma),
			this.length,
			this.width,
		);
	}

	/** mean + omega · std, [L, d]; omega is standard normal, [L, d]. */
	sampleWith(omega: ArrayLike<number>): Float32Array {
		if (omega.length !== this.mean.length)
			throw new ArgumentError(
				`omega has ${omega.length} numbers; the distribution [${this.length}, ${this.width}] needs ${this.mean.length}`,
			);
		return this.mean.map((value, i) => value + omega[i]! * this.std[i]!);
	}

	/** Prompt number `index` of a seed, [L, d]: always the same numbers, whatever else is drawn. */
	sample(seed: number, index = 0): Float32Array {
		return this.sampleWith(promptOmega(seed, index, this.mean.length));
	}

	/** The mean of the deviations, over positions and channels. */
	get spread(): number {
		return this.std.reduce((sum, value) => sum + value, 0) / Math.max(1, this.std.length);
	}
}

/** How deviations are mixed. "paper": Σ √aᵢ σᵢ (Eq. 7). "official": √Σ (aᵢ σᵢ)², as the published code has it. */
export const MIX_RULES = ["paper", "official"] as const;
export type MixRule = (typeof MIX_RULES)[number];

/** How far weights may be from a sum of 1. */
const TOLERANCE = 1e-4;

/** @throws ArgumentError unless the weights are numbers from 0 on that sum to 1 */
export function checkWeights(weights: readonly number[]): void {
	if (weights.length === 0) throw new ArgumentError("a mix needs at least one distribution");
	const wrong = weights.find((weight) => !(Number.isFinite(weight) && weight >= 0));
	if (wrong !== undefined)
		throw new ArgumentError(`the weight of a mixed distribution must be from 0 on, not ${wrong}`);
	const total = weights.reduce((a, b) => a + b);
	if (Math.abs(total - 1) > TOLERANCE)
		throw new ArgumentError(
			`the weights ${weights.join(", ")} sum to ${Number(total.toPrecision(6))}; the weights of a mix must sum to 1`,
		);
}

/** A weighted mix: mean Σ aᵢ μᵢ, deviation by the rule. Deviations are those after scaling. */
export function mixFeatures(
	parts: readonly { distribution: FeatureDistribution; weight: number }[],
	rule: MixRule = "paper",
): FeatureDistribution {
	checkWeights(parts.map(({ weight }) => weight));
	const first = parts[0]!.distribution;
	for (const { distribution: other } of parts)
		if (other.length !== first.length || other.width !== first.width)
			throw new ArgumentError(
				`distributions of features [${first.length}, ${first.width}] and [${other.length}, ${other.width}] can't be mixed; they need the same text encoder`,
			);
	const mean = new Float32Array(first.mean.length);
	const std = new Float32Array(first.std.length);
	for (let i = 0; i < mean.length; i++) {
		let center = 0;
		let spread = 0;
		for (const { distribution, weight } of parts) {
			center += weight * distribution.mean[i]!;
			const sigma = distribution.std[i]!;
			spread += rule === "paper" ? Math.sqrt(weight) * sigma : (weight * sigma) ** 2;
		}
		mean[i] = center;
		std[i] = rule === "paper" ? spread : Math.sqrt(spread);
	}
	return new FeatureDistribution(mean, std, first.length, first.width);
}
