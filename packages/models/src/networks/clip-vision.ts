// CLIP's image encoder in the Hub's layout (CLIPVisionModelWithProjection).
import {
	add,
	broadcastTo,
	cast,
	concat,
	conv2d,
	reshape,
	ShapeError,
	slice,
	type Value,
	type Weights,
} from "@dreamdist/core";
import { clipLayer } from "./clip-layer.js";
import type { ClipVisionConfig } from "./clip-vision-config.js";
import { layerNormLayer, linearLayer } from "./layers.js";

export interface ClipVisionFeatures {
	/** After the last layer, before `post_layernorm`: class token and patches, [B, 1 + patches, hiddenSize]. */
	lastHiddenState: Value;
	/** `post_layernorm` of the class token, [B, hiddenSize]. */
	pooled: Value;
	/** In the space shared with texts, not normalised: [B, projectionSize]. */
	embeddings: Value;
}

/**
 * Features of pictures.
 *
 * @param pictures [B, imageSize, imageSize, 3], normalised as the model was trained
 */
export function clipVisionModel(weights: Weights, config: ClipVisionConfig, pictures: Value): ClipVisionFeatures {
	const { imageSize, patchSize, hiddenSize, layers, layerNormEps } = config;
	const [batch, height, width, channels] = pictures.shape as [number, number, number, number];
	if (pictures.rank !== 4 || height !== imageSize || width !== imageSize || channels !== 3)
		throw new ShapeError(`clipVisionModel: expected pictures [B, ${imageSize}, ${imageSize}, 3], got ${pictures}`);
	const vision = weights.scope("vision_model");
	const patches = (imageSize / patchSize) ** 2;
	const embeddings = vision.scope("embeddings");
	const patchWeight = embeddings.get("patch_embedding.weight", [hiddenSize, 3, patchSize, patchSize]);
	const embedded = weights.graph.named(embeddings.path, () => conv2d(pictures, patchWeight, { stride: patchSize }));
	const start = cast(reshape(embeddings.get("class_embedding", [hiddenSize]), [1, 1, hiddenSize]), embedded.dtype);
	const tokens = concat(
		[broadcastTo(start, [batch, 1, hiddenSize]), reshape(embedded, [batch, patches, hiddenSize])],
		1,
	);
	let x = add(tokens, cast(embeddings.get("position_embedding.weight", [1 + patches, hiddenSize]), tokens.dtype));
	// The checkpoints' own spelling.
	x = layerNormLayer(vision.scope("pre_layrnorm"), x, layerNormEps);
	for (let i = 0; i < layers; i++) x = clipLayer(vision.scope(`encoder.layers.${i}`), config, x, { causal: false });
	const first = reshape(slice(x, 1, 0, 1), [batch, hiddenSize]);
	const pooled = layerNormLayer(vision.scope("post_layernorm"), first, layerNormEps);
	const projected = linearLayer(weights.scope("visual_projection"), pooled, config.projectionSize, { bias: false });
	return { lastHiddenState: x, pooled, embeddings: projected };
}
