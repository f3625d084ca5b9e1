import { z } from "zod";
import { badConfig, choice, count, onlyValues, readConfig } from "./config.js";
import { withoutHubSettings } from "./hub-settings.js";

/** A vision transformer with a class token: DINO's or DINOv2's. */
export interface VisionTransformerConfig {
	hiddenSize: number;
	/** Width inside the multilayer perceptron; of SwiGLU, of each half. */
	intermediateSize: number;
	layers: number;
	heads: number;
	/** Pixels on a side of the pictures it was trained on: its position table is for (imageSize / patchSize)² patches. */
	imageSize: number;
	patchSize: number;
	layerNormEps: number;
	/** DINOv2's giant has SwiGLU, all others GELU. */
	mlp: "gelu" | "swiglu";
}

const transformer = {
	hidden_size: count.default(768),
	num_hidden_layers: count.default(12),
	num_attention_heads: count.default(12),
	num_channels: onlyValues(3),
	image_size: count.default(224),
	hidden_act: choice("gelu").default("gelu"),
	qkv_bias: onlyValues(true),
};

/** Defaults are those of transformers' ViTConfig. */
const dinoSchema = z.object({
	...transformer,
	patch_size: count.default(16),
	intermediate_size: count.default(3072),
	layer_norm_eps: z.number().positive().default(1e-12),
});

/** Defaults are those of transformers' Dinov2Config. */
const dinov2Schema = z.object({
	...transformer,
	patch_size: count.default(14),
	mlp_ratio: count.default(4),
	use_swiglu_ffn: z.boolean().default(false),
	use_mask_token: z.boolean().optional(),
	layer_norm_eps: z.number().positive().default(1e-6),
});

function checked(config: VisionTransformerConfig, source: string): VisionTransformerConfig {
	const { hiddenSize, heads, imageSize, patchSize } = config;
	if (hiddenSize % heads !== 0)
		throw badConfig(source, `"num_attention_heads" ${heads} does not divide "hidden_size" ${hiddenSize}`);
	// As the Hub's DINOv2 has it: 518 / 14 = 37 exactly; a remainder would leave pixels without a patch.
	if (imageSize % patchSize !== 0)
		throw badConfig(source, `"patch_size" ${patchSize} does not divide "image_size" ${imageSize}`);
	return config;
}

/**
 * Reads the `config.json` of a DINO vision transformer (facebook/dino-vits16 and its like).
 *
 * @throws FormatError `BAD_CONFIG` naming the key
 */
export function readDinoConfig(json: unknown, source = "config.json"): VisionTransformerConfig {
	const config = readConfig(dinoSchema, withoutHubSettings(json), source);
	return checked(
		{
			hiddenSize: config.hidden_size,
			intermediateSize: config.intermediate_size,
			layers: config.num_hidden_layers,
			heads: config.num_attention_heads,
			imageSize: config.image_size,
			patchSize: config.patch_size,
			layerNormEps: config.layer_norm_eps,
			mlp: "gelu",
		},
		source,
	);
}

/**
 * Reads the `config.json` of a DINOv2 (facebook/dinov2-small, -base, -large, -giant).
 *
 * @throws FormatError `BAD_CONFIG` naming the key
 */
export function readDinov2Config(json: unknown, source = "config.json"): VisionTransformerConfig {
	const config = readConfig(dinov2Schema, withoutHubSettings(json), source);
	const width = config.hidden_size * config.mlp_ratio;
	return checked(
		{
			hiddenSize: config.hidden_size,
			// SwiGLU has three matrices where the other has two: two thirds of the width, rounded up to a multiple of 8.
			intermediateSize: config.use_swiglu_ffn ? 8 * Math.floor((Math.floor((width * 2) / 3) + 7) / 8) : width,
			layers: config.num_hidden_layers,
			heads: config.num_attention_heads,
			imageSize: config.image_size,
			patchSize: config.patch_size,
			layerNormEps: config.layer_norm_eps,
			mlp: config.use_swiglu_ffn ? "swiglu" : "gelu",
		},
		source,
	);
}
