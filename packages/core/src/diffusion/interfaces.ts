// The networks as methods and samplers see them. Another backbone is another implementation of these.
import type { Graph, Value } from "../graph/graph.js";
import type { Tokenizer } from "./tokenizer.js";

/** A text encoder. Its functions write into the graph of the value they are given. */
export interface TextEncoder {
	readonly tokenizer: Tokenizer;
	/** Width d of token embeddings and of features. */
	readonly width: number;
	/** Positions L it was trained with, start and end token included. */
	readonly length: number;
	/**
	 * Embeddings of tokens, before positions are added.
	 *
	 * @param ids i32 [N, L]
	 * @returns f32 [N, L, d]
	 */
	embed(ids: Value): Value;
	/**
	 * Features of every position.
	 *
	 * @param embeddings [N, L, d], of tokens or learnt
	 * @returns [N, L, d]
	 */
	encode(embeddings: Value): Value;
	/**
	 * The position embeddings that `encode` adds, f32 [L, d]. Only prompts of programs that add some of them twice need it; an encoder
	 * without learned positions leaves it out.
	 */
	positions?(graph: Graph): Value;
}

/**
 * What is computed again in backward instead of being kept: nothing (fastest), the inputs of the gated layers, or whole blocks (least
 * memory).
 */
export type Recompute = (typeof RECOMPUTE_LEVELS)[number];
export const RECOMPUTE_LEVELS = ["nothing", "geglu", "blocks"] as const;

/** A network that predicts noise, velocity or the clean sample, as its noise schedule says. */
export interface Denoiser {
	readonly latentChannels: number;
	/** Width d of the text features it reads. */
	readonly contextWidth: number;
	/** Latent height and width are multiples of this. */
	readonly sizeMultiple: number;
	/** Latent height and width it was trained at; null where unknown. */
	readonly sampleSize: readonly [height: number, width: number] | null;
	/**
	 * The prediction for every pair of latents and text features. What does not depend on the text is computed once per latents.
	 *
	 * @param latents [B, h, w, latentChannels]
	 * @param timesteps f32 [B]
	 * @param context text features [B·S, L, d]; rows b·S … b·S + S − 1 go with latents b
	 * @returns [B·S, h, w, latentChannels]
	 */
	predict(latents: Value, timesteps: Value, context: Value, options?: { recompute?: Recompute }): Value;
}

/** Pictures to latents and back. Latents as the denoiser reads them are the autoencoder's times `scale`. */
export interface Autoencoder {
	/** Pixels per latent, in height and width. */
	readonly factor: number;
	readonly latentChannels: number;
	readonly scale: number;
	/**
	 * The normal distribution of pictures' latents, before scaling.
	 *
	 * @param pictures [N, H, W, 3] in [−1, 1]; H and W multiples of the factor
	 * @returns both [N, H/factor, W/factor, latentChannels]; the variance as its natural logarithm
	 */
	encode(pictures: Value): { mean: Value; logVariance: Value };
	/**
	 * @param latents [N, h, w, latentChannels], before scaling
	 * @returns [N, h·factor, w·factor, 3], in [−1, 1] but for overshoot
	 */
	decode(latents: Value): Value;
}
