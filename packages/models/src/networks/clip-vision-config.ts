import { z } from "zod";
import type { ClipLayerConfig } from "./clip-layer.js";
import { badConfig, choice, count, onlyValues, readConfig } from "./config.js";

/** CLIP's image encoder. */
export interface ClipVisionConfig extends ClipLayerConfig {
	layers: number;
	/** Pixels on a side of the pictures it reads. */
	imageSize: number;
	/** Pixels on a side of a patch. */
	patchSize: number;
	/** Width of the space that it shares with the text encoder. */
	projectionSize: number;
}

const ignored = z.unknown().optional();

/** Defaults are those of transformers' CLIPVisionConfig. */
const schema = z.object({
	hidden_size: count.default(768),
	intermediate_size: count.default(3072),
	projection_dim: count.default(512),
	num_hidden_layers: count.default(12),
	num_attention_heads: count.default(12),
	num_channels: onlyValues(3),
	image_size: count.default(224),
	patch_size: count.default(32),
	hidden_act: choice("gelu", "quick_gelu").default("quick_gelu"),
	layer_norm_eps: z.number().positive().default(1e-5),
	model_type: onlyValues("clip_vision_model"),
	architectures: ignored,
	attention_dropout: ignored,
	dropout: ignored,
	dtype: ignored,
	initializer_factor: ignored,
	initializer_range: ignored,
	torch_dtype: ignored,
	transformers_version: ignored,
});

/**
 * Reads `image_encoder/config.json`.
 *
 * @throws FormatError `BAD_CONFIG` naming the key
 */
export function readClipVisionConfig(json: unknown, source = "image_encoder/config.json"): ClipVisionConfig {
	const config = readConfig(schema, json, source);
	if (config.hidden_size % config.num_attention_heads !== 0)
		throw badConfig(
			source,
			`"num_attention_heads" ${config.num_attention_heads} does not divide "hidden_size" ${config.hidden_size}`,
		);
	if (config.image_size % config.patch_size !== 0)
		throw badConfig(source, `"patch_size" ${config.patch_size} does not divide "image_size" ${config.image_size}`);
	return {
		hiddenSize: config.hidden_size,
		intermediateSize: config.intermediate_size,
		projectionSize: config.projection_dim,
		layers: config.num_hidden_layers,
		heads: config.num_attention_heads,
		imageSize: config.image_size,
		patchSize: config.patch_size,
		activation: config.hidden_act === "gelu" ? "gelu" : "quickGelu",
		layerNormEps: config.layer_norm_eps,
	};
}
