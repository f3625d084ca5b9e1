// CLIP's text tower with its projection, in the Hub's layout (CLIPModel); its image tower is in clip-vision.ts.
import { ArgumentError, gather, reshape, type Value, type Weights } from "@dreamdist/core";
import type { ClipConfig } from "./clip-config.js";
import { clipTextModel, clipTokenEmbeddings } from "./clip-text.js";
import { linearLayer } from "./layers.js";

/** A text tower and the width of the space it is projected to. */
export type ClipTextTower = Pick<ClipConfig, "text" | "projectionSize">;

export interface ClipTextFeatures {
	/** After the final layer norm, [B, L, hiddenSize]. */
	lastHiddenState: Value;
	/** At the first end token, [B, hiddenSize]. */
	pooled: Value;
	/** In the space shared with pictures, not normalised: [B, projectionSize]. */
	embeddings: Value;
}

/**
 * Features of texts. There is a causal mask only: what follows the end token changes nothing.
 *
 * @param ids i32 [B, L], L at most `maxPositions`
 * @param ends i32 [B]: `endRows` of the ids
 */
export function clipTextFeatures(weights: Weights, config: ClipTextTower, ids: Value, ends: Value): ClipTextFeatures {
	const text = weights.scope("text_model");
	const [batch, length] = ids.shape as [number, number];
	const lastHiddenState = clipTextModel(text, config.text, clipTokenEmbeddings(text, config.text, ids));
	const pooled = gather(reshape(lastHiddenState, [batch * length, config.text.hiddenSize]), ends);
	const embeddings = linearLayer(weights.scope("text_projection"), pooled, config.projectionSize, { bias: false });
	return { lastHiddenState, pooled, embeddings };
}

/**
 * Where each text's first end token is among the rows of [B·L, …].
 *
 * @param ids [B, L], row-major
 * @throws ArgumentError naming a text that has none
 */
export function endRows(ids: ArrayLike<number>, length: number, endToken: number): Int32Array {
	return Int32Array.from({ length: ids.length / length }, (_, row) => {
		for (let at = row * length; at < (row + 1) * length; at++) if (ids[at] === endToken) return at;
		throw new ArgumentError(`text ${row} has no end token (${endToken}) within its ${length} ids`);
	});
}
