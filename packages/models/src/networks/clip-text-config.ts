import { z } from "zod";
import { badConfig, choice, count, onlyValues, readConfig } from "./config.js";

/** CLIP's text encoder. */
export interface ClipTextConfig {
	vocabularySize: number;
	hiddenSize: number;
	intermediateSize: number;
	layers: number;
	heads: number;
	maxPositions: number;
	activation: "gelu" | "quickGelu";
	layerNormEps: number;
}

const ignored = z.unknown().optional();

/** Defaults are those of transformers' CLIPTextConfig. */
const schema = z.object({
	vocab_size: count.default(49408),
	hidden_size: count.default(512),
	intermediate_size: count.default(2048),
	num_hidden_layers: count.default(12),
	num_attention_heads: count.default(8),
	max_position_embeddings: count.default(77),
	hidden_act: choice("gelu", "quick_gelu").default("quick_gelu"),
	layer_norm_eps: z.number().positive().default(1e-5),
	model_type: onlyValues("clip_text_model"),
	// Training and generation settings, and legacy token ids that mean nothing here: the tokenizer's own files count.
	architectures: ignored,
	attention_dropout: ignored,
	bos_token_id: ignored,
	dropout: ignored,
	dtype: ignored,
	eos_token_id: ignored,
	initializer_factor: ignored,
	initializer_range: ignored,
	pad_token_id: ignored,
	projection_dim: ignored,
	torch_dtype: ignored,
	transformers_version: ignored,
});

/**
 * Reads `text_encoder/config.json`.
 *
 * @throws FormatError `BAD_CONFIG` naming the key
 */
export function readClipTextConfig(json: unknown, source = "text_encoder/config.json"): ClipTextConfig {
	const config = readConfig(schema, json, source);
	if (config.hidden_size % config.num_attention_heads !== 0)
		throw badConfig(
			source,
			`"num_attention_heads" ${config.num_attention_heads} does not divide "hidden_size" ${config.hidden_size}`,
		);
	return {
		vocabularySize: config.vocab_size,
		hiddenSize: config.hidden_size,
		intermediateSize: config.intermediate_size,
		layers: config.num_hidden_layers,
		heads: config.num_attention_heads,
		maxPositions: config.max_position_embeddings,
		activation: config.hidden_act === "gelu" ? "gelu" : "quickGelu",
		layerNormEps: config.layer_norm_eps,
	};
}
