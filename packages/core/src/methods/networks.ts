// The networks as methods see them: graph functions, whatever the backbone.
import type { Tokenizer } from "../diffusion/tokenizer.js";
import type { Value } from "../graph/graph.js";

/** A frozen text encoder. */
export interface TextEncoder {
	readonly tokenizer: Tokenizer;
	/** d, the width of embeddings and features. */
	readonly width: number;
	/** Rows of the token table, before positions: i32 [..., L] → [..., L, d]. */
	embed(ids: Value): Value;
	/** Features after the final norm from embeddings before positions: [B, L, d] → [B, L, d]. */
	encode(embeddings: Value): Value;
}

/** The network that predicts noise or velocity. */
export interface Denoiser {
	/**
	 * @param latents [B, h, w, C]
	 * @param timesteps [B]
	 * @param contexts [B·S, L, d], the S contexts of a picture together
	 * @returns [B·S, h, w, C]
	 */
	predict(latents: Value, timesteps: Value, contexts: Value): Value;
}
