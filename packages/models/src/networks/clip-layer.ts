// The transformer layer of both of CLIP's towers.
import { attention, type Value, type Weights } from "@dreamdist/core";
import { layerNormLayer, linearLayer, parallelLinearLayers } from "./layers.js";

/** What the layers of a tower have in common. */
export interface ClipLayerConfig {
	hiddenSize: number;
	intermediateSize: number;
	heads: number;
	activation: "gelu" | "quickGelu";
	layerNormEps: number;
}

type Projections = [query: Value, key: Value, value: Value];

/** Pre-norm self-attention and multilayer perceptron: x [B, L, hiddenSize] → the same shape. */
export function clipLayer(weights: Weights, config: ClipLayerConfig, x: Value, options: { causal: boolean }): Value {
	const { hiddenSize, intermediateSize, heads, activation, layerNormEps } = config;
	const normed = layerNormLayer(weights.scope("layer_norm1"), x, layerNormEps);
	const projections = ["q_proj", "k_proj", "v_proj"].map((name) => ({ name, width: hiddenSize }));
	const [query, key, value] = parallelLinearLayers(weights.scope("self_attn"), normed, projections) as Projections;
	const attended = weights.graph.named(`${weights.path}.self_attn`, () =>
		attention(query, key, value, { heads, causal: options.causal }),
	);
	const y = linearLayer(weights.scope("self_attn.out_proj"), attended, hiddenSize, { residual: x });

	const inner = linearLayer(
		weights.scope("mlp.fc1"),
		layerNormLayer(weights.scope("layer_norm2"), y, layerNormEps),
		intermediateSize,
		{ activation },
	);
	return linearLayer(weights.scope("mlp.fc2"), inner, hiddenSize, { residual: y });
}
