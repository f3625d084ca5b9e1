// DINO's vision transformer (Caron et al. 2021) in the Hub's layout: facebook/dino-vits16.
import { attention, type Value, type Weights } from "@dreamdist/core";
import { layerNormLayer, linearLayer, parallelLinearLayers } from "./layers.js";
import {
	classToken,
	patchTokens,
	type VisionTransformerFeatures,
	type VisionTransformerOptions,
} from "./patch-tokens.js";
import type { VisionTransformerConfig } from "./vision-transformer-config.js";

/** @param pictures [B, H, W, 3], normalised with ImageNet's mean and deviation; sides multiples of the patch */
export function dinoVit(
	weights: Weights,
	config: VisionTransformerConfig,
	pictures: Value,
	{ resampling = "original" }: VisionTransformerOptions = {},
): VisionTransformerFeatures {
	let x = patchTokens(weights.scope("embeddings"), config, pictures, resampling);
	for (let i = 0; i < config.layers; i++) x = layer(weights.scope(`encoder.layer.${i}`), config, x);
	const lastHiddenState = layerNormLayer(weights.scope("layernorm"), x, config.layerNormEps);
	return { cls: classToken(lastHiddenState), lastHiddenState };
}

/** Pre-norm self-attention and multilayer perceptron. */
function layer(weights: Weights, config: VisionTransformerConfig, x: Value): Value {
	const { hiddenSize, intermediateSize, heads, layerNormEps } = config;
	const normed = layerNormLayer(weights.scope("layernorm_before"), x, layerNormEps);
	const projections = ["query", "key", "value"].map((name) => ({ name, width: hiddenSize }));
	const [q, k, v] = parallelLinearLayers(weights.scope("attention.attention"), normed, projections);
	const attended = weights.graph.named(`${weights.path}.attention`, () => attention(q!, k!, v!, { heads }));
	const y = linearLayer(weights.scope("attention.output.dense"), attended, hiddenSize, { residual: x });
	const inner = linearLayer(
		weights.scope("intermediate.dense"),
		layerNormLayer(weights.scope("layernorm_after"), y, layerNormEps),
		intermediateSize,
		{ activation: "gelu" },
	);
	return linearLayer(weights.scope("output.dense"), inner, hiddenSize, { residual: y });
}
