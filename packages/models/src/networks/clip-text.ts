// CLIP's text encoder in the Hub's layout (CLIPTextModel): Stable Diffusion 1 and 2's.
import { add, cast, embedding, ShapeError, slice, type Value, type Weights } from "@dreamdist/core";
import { clipLayer } from "./clip-layer.js";
import type { ClipTextConfig } from "./clip-text-config.js";
import { layerNormLayer } from "./layers.js";

/**
 * Token embeddings, before positions are added.
 *
 * @param ids i32 [B, L]
 * @returns f32 [B, L, hiddenSize]
 */
export function clipTokenEmbeddings(weights: Weights, config: ClipTextConfig, ids: Value): Value {
	const table = weights.get("embeddings.token_embedding.weight", [config.vocabularySize, config.hiddenSize]);
	return weights.graph.named("embeddings.token_embedding", () => embedding(table, ids, { dtype: "f32" }));
}

/** Position embeddings as `clipTextModel` adds them, f32 [length, hiddenSize]. */
export function clipPositionEmbeddings(weights: Weights, config: ClipTextConfig, length: number): Value {
	const { hiddenSize, maxPositions } = config;
	const positions = weights.get("embeddings.position_embedding.weight", [maxPositions, hiddenSize]);
	return cast(slice(positions, 0, 0, length), "f32");
}

export interface ClipTextOptions {
	/** Layers left out at the end ("clip skip"); default 0. */
	skipLayers?: number;
	/** Apply the final layer norm, as Stable Diffusion does whatever it skips. Default true. */
	finalNorm?: boolean;
}

/**
 * Features of every position: pre-norm transformer layers with a causal mask, then the final layer norm.
 *
 * @param embeddings token embeddings before positions [B, L, hiddenSize], L at most `maxPositions`
 * @returns [B, L, hiddenSize]
 */
export function clipTextModel(
	weights: Weights,
	config: ClipTextConfig,
	embeddings: Value,
	options: ClipTextOptions = {},
): Value {
	const { skipLayers = 0, finalNorm = true } = options;
	const { hiddenSize, maxPositions, layers, layerNormEps } = config;
	if (embeddings.rank !== 3 || embeddings.shape[2] !== hiddenSize || embeddings.shape[1]! > maxPositions)
		throw new ShapeError(
			`clipTextModel: expected embeddings [B, at most ${maxPositions}, ${hiddenSize}], got ${embeddings}`,
		);
	if (!Number.isInteger(skipLayers) || skipLayers < 0 || skipLayers > layers)
		throw new ShapeError(`clipTextModel: skipLayers is a whole number from 0 to ${layers}, not ${skipLayers}`);

	const positions = weights.get("embeddings.position_embedding.weight", [maxPositions, hiddenSize]);
	let x = add(embeddings, cast(slice(positions, 0, 0, embeddings.shape[1]!), embeddings.dtype));
	for (let i = 0; i < layers - skipLayers; i++)
		x = clipLayer(weights.scope(`encoder.layers.${i}`), config, x, { causal: true });
	return finalNorm ? layerNormLayer(weights.scope("final_layer_norm"), x, layerNormEps) : x;
}
