// A learned distribution of prompts: loaded, saved, sampled, edited with words, scaled and mixed.
import { ArgumentError } from "../../errors.js";
import { classIndexOf } from "./classes.js";
import {
	type DistributionContents,
	type LearnedWords,
	type ModelIdentity,
	readDistribution,
	writeDistribution,
} from "./distribution-file.js";
import {
	checkWeights,
	type FeatureDistribution,
	type MixRule,
	mixFeatures,
	type PromptSampler,
} from "./feature-distribution.js";
import { frameWords, type PromptFrame } from "./frame.js";
import type { FittedPrompts, PromptEncoder, PromptTokens } from "./prompt-encoder.js";
import { TokenSpaceSampler } from "./token-space.js";

/** Anything that a text encoder makes prompts from. */
export interface SampledSource {
	fit(encoder: PromptEncoder): Promise<PromptSampler>;
}

/** Anything that a text encoder turns into a Gaussian over its features: a distribution, or a mix of some. */
export interface PromptSource extends SampledSource {
	/** Re-encodes the prompts and fits the Gaussian, scaled as asked. */
	fit(encoder: PromptEncoder): Promise<FeatureDistribution>;
}

interface View {
	readonly words: LearnedWords;
	/** Factor of the deviation. */
	readonly gamma: number;
	/** Index of the chosen class. */
	readonly classIndex: number;
}

/**
 * The learned vectors, [C, K, M, d], with what they were learned with. Immutable: `edit`, `scale` and `ofClass` give another
 * distribution on the same vectors.
 *
 * ```ts
 * const cathedrals = await PromptDistribution.load("run/distribution.safetensors");
 * const atNight = cathedrals.edit({ suffix: "at night" }).scale(1.2);
 * const features = await atNight.sample(encoder, { seed: 7 });
 * ```
 */
export class PromptDistribution implements PromptSource {
	private constructor(
		private readonly contents: DistributionContents,
		private readonly view: View,
	) {}

	/** @throws ArgumentError unless the tokens fit their shape */
	static of(contents: DistributionContents): PromptDistribution {
		const size = contents.shape.reduce((a, b) => a * b, 1);
		if (contents.tokens.length !== size)
			throw new ArgumentError(
				`tokens of shape [${contents.shape.join(", ")}] are ${size} numbers, not ${contents.tokens.length}`,
			);
		return new PromptDistribution(contents, { words: contents.words, gamma: 1, classIndex: 0 });
	}

	/** @throws FileError or FormatError in one sentence that names the file */
	static async load(path: string): Promise<PromptDistribution> {
		return PromptDistribution.of(await readDistribution(path));
	}

	/**
	 * A weighted mix (paper, §3.3, Eq. 7).
	 *
	 * @param parts weights from 0 on that sum to 1
	 * @param rule how deviations are mixed; default the paper's
	 */
	static mix(parts: readonly { source: PromptSource; weight: number }[], rule: MixRule = "paper"): PromptSource {
		checkWeights(parts.map(({ weight }) => weight));
		return {
			fit: async (encoder) => {
				const fitted: { distribution: FeatureDistribution; weight: number }[] = [];
				for (const { source, weight } of parts) fitted.push({ distribution: await source.fit(encoder), weight });
				return mixFeatures(fitted, rule);
			},
		};
	}

	/** K */
	get prompts(): number {
		return this.contents.shape[1];
	}

	/** M */
	get vectors(): number {
		return this.contents.shape[2];
	}

	/** d */
	get width(): number {
		return this.contents.shape[3];
	}

	/** Names of the classes; null where there are none. */
	get classes(): readonly string[] | null {
		return this.contents.classes;
	}

	get words(): LearnedWords {
		return this.view.words;
	}

	get gamma(): number {
		return this.view.gamma;
	}

	get baseModel(): ModelIdentity | null {
		return this.contents.baseModel;
	}

	get settings(): Readonly<Record<string, unknown>> {
		return this.contents.settings;
	}

	/** The chosen class's name, or null. */
	get className(): string | null {
		return this.contents.classes?.[this.view.classIndex] ?? null;
	}

	/** The vectors of the chosen class, [K, M, d]; shares memory. */
	get tokens(): PromptTokens {
		const [, prompts, vectors, width] = this.contents.shape;
		const size = prompts * vectors * width;
		const from = this.view.classIndex * size;
		return { data: this.contents.tokens.subarray(from, from + size), prompts, vectors, width };
	}

	/** The mean of the K prompts' vectors, [M, d]: a Textual Inversion embedding of M vectors. */
	get meanTokens(): Float32Array {
		const { data, prompts, vectors, width } = this.tokens;
		const mean = new Float32Array(vectors * width);
		for (let i = 0; i < mean.length; i++) {
			let sum = 0;
			for (let k = 0; k < prompts; k++) sum += data[k * mean.length + i]!;
			mean[i] = sum / prompts;
		}
		return mean;
	}

	/** Other words around the vectors: every prompt is encoded again with them (paper, §3.3). What is left out stays. */
	edit(words: { prefix?: string; suffix?: string }): PromptDistribution {
		return new PromptDistribution(this.contents, { ...this.view, words: { ...this.view.words, ...words } });
	}

	/** The deviation times `gamma`, on top of earlier scaling. */
	scale(gamma: number): PromptDistribution {
		if (!(Number.isFinite(gamma) && gamma >= 0))
			throw new ArgumentError(`the scale of a distribution must be a number from 0 on, not ${gamma}`);
		return new PromptDistribution(this.contents, { ...this.view, gamma: this.view.gamma * gamma });
	}

	/** One class of a distribution of several. */
	ofClass(name: string): PromptDistribution {
		const classIndex = classIndexOf(this.contents.classes, name);
		return new PromptDistribution(this.contents, { ...this.view, classIndex });
	}

	/** Where the vectors stand among the words. @throws ArgumentError when they do not fit into the encoder's positions */
	frame(encoder: PromptEncoder): PromptFrame {
		const { className } = this;
		const { wordPositions = "once", ...words } = this.view.words;
		return frameWords(encoder.textEncoder.tokenizer, this.vectors, {
			...words,
			wordPositions,
			...(className !== null && { className }),
		});
	}

	/** Encodes the K prompts, with each one's features. The deviation is not scaled. */
	encode(encoder: PromptEncoder): Promise<FittedPrompts> {
		return encoder.fit(this.tokens, this.frame(encoder));
	}

	async fit(encoder: PromptEncoder): Promise<FeatureDistribution> {
		const { distribution } = await this.encode(encoder);
		return this.gamma === 1 ? distribution : distribution.scale(this.gamma);
	}

	/**
	 * The same prompts drawn in the space of token embeddings: a Gaussian over the K prompts' vectors, of which each sample is then
	 * encoded (the official code's `sample_ctx`). It can't be mixed with others.
	 */
	inTokenSpace(): SampledSource {
		return {
			fit: async (encoder) => new TokenSpaceSampler(encoder, this.tokens, this.frame(encoder), this.gamma),
		};
	}

	/** Features of one prompt, [L, d]: number `index` (default 0) of a seed. */
	async sample(encoder: PromptEncoder, options: { seed: number; index?: number }): Promise<Float32Array> {
		return (await this.fit(encoder)).sample(options.seed, options.index);
	}

	/** Writes one safetensors file, whole or not at all. The words saved are the current ones; gamma and class are not part of it. */
	async save(path: string): Promise<void> {
		await writeDistribution(path, { ...this.contents, words: this.view.words });
	}
}
