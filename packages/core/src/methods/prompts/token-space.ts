// Prompts drawn before the text encoder rather than after it.
import { ArgumentError } from "../../errors.js";
import { type PromptSampler, promptOmega } from "./feature-distribution.js";
import type { PromptFrame } from "./frame.js";
import type { PromptEncoder, PromptTokens } from "./prompt-encoder.js";

/** A Gaussian over K prompts' token embeddings; a sample is encoded when it is drawn. */
export class TokenSpaceSampler implements PromptSampler {
	constructor(
		private readonly encoder: PromptEncoder,
		private readonly tokens: PromptTokens,
		private readonly frame: PromptFrame,
		private readonly gamma: number,
	) {}

	scale(gamma: number): TokenSpaceSampler {
		if (!(Number.isFinite(gamma) && gamma >= 0))
			throw new ArgumentError(`the scale of a distribution must be a number from 0 on, not ${gamma}`);
		return new TokenSpaceSampler(this.encoder, this.tokens, this.frame, this.gamma * gamma);
	}

	sample(seed: number, index = 0): Promise<Float32Array> {
		const { length, width } = this.encoder.textEncoder;
		return this.encoder.sampleTokenSpace(this.tokens, this.frame, promptOmega(seed, index, length * width), this.gamma);
	}
}
