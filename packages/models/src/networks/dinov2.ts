// DINOv2 (Oquab et al. 2023) in the Hub's layout: facebook/dinov2-small, -base, -large, -giant.
import { add, attention, cast, mul, silu, split, type Value, type Weights } from "@dreamdist/core";
import { layerNormLayer, linearLayer, parallelLinearLayers } from "./layers.js";
import {
	classToken,
	patchTokens,
	type VisionTransformerFeatures,
	type VisionTransformerOptions,
} from "./patch-tokens.js";
import type { VisionTransformerConfig } from "./vision-transformer-config.js";

/** @param pictures [B, H, W, 3], normalised with ImageNet's mean and deviation; sides multiples of the patch */
export function dinov2(
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

/** Pre-norm self-attention and feed-forward network, each scaled channel by channel before it is added. */
function layer(weights: Weights, config: VisionTransformerConfig, x: Value): Value {
	const { hiddenSize, heads, layerNormEps } = config;
	const scaled = (name: string, value: Value) =>
		mul(value, cast(weights.get(`${name}.lambda1`, [hiddenSize]), value.dtype));
	const projections = ["query", "key", "value"].map((name) => ({ name, width: hiddenSize }));
	const normed = layerNormLayer(weights.scope("norm1"), x, layerNormEps);
	const [q, k, v] = parallelLinearLayers(weights.scope("attention.attention"), normed, projections);
	const attended = weights.graph.named(`${weights.path}.attention`, () => attention(q!, k!, v!, { heads }));
	const y = add(x, scaled("layer_scale1", linearLayer(weights.scope("attention.output.dense"), attended, hiddenSize)));
	const inner = layerNormLayer(weights.scope("norm2"), y, layerNormEps);
	return add(y, scaled("layer_scale2", feedForward(weights.scope("mlp"), config, inner)));
}

function feedForward(weights: Weights, config: VisionTransformerConfig, x: Value): Value {
	const { hiddenSize, intermediateSize, mlp } = config;
	if (mlp === "gelu")
		return linearLayer(
			weights.scope("fc2"),
			linearLayer(weights.scope("fc1"), x, intermediateSize, { activation: "gelu" }),
			hiddenSize,
		);
	const both = linearLayer(weights.scope("weights_in"), x, 2 * intermediateSize);
	const [gate, value] = split(both, -1, [intermediateSize, intermediateSize]) as [Value, Value];
	return linearLayer(weights.scope("weights_out"), mul(silu(gate), value), hiddenSize);
}
