// Embeddings of texts in the space that a CLIP shares with pictures.
import { type Device, FormatError, type Tokenizer, type WeightSet } from "@dreamdist/core";
import { type ClipTextTower, clipTextFeatures, endRows } from "@dreamdist/models";
import { type FeatureSet, featureSet } from "./feature-set.js";

export interface TextTower {
	readonly config: ClipTextTower;
	readonly weights: WeightSet;
	readonly tokenizer: Tokenizer;
}

/** @returns one row per text, not normalised */
export async function embedTexts(device: Device, tower: TextTower, texts: readonly string[]): Promise<FeatureSet> {
	const { config, weights, tokenizer } = tower;
	if (tokenizer.vocabularySize > config.text.vocabularySize)
		throw new FormatError(
			"BAD_MODEL",
			weights.origin,
			`${weights.origin}: the tokenizer has ${tokenizer.vocabularySize} tokens, but the text encoder ${config.text.vocabularySize}`,
		);
	const program = await device.compile(
		(graph) => {
			const ids = graph.input("ids", [1, tokenizer.length], "i32");
			return {
				embeddings: clipTextFeatures(weights.open(graph), config, ids, graph.input("ends", [1], "i32")).embeddings,
			};
		},
		{ name: "text tower" },
	);
	try {
		const rows = new Float32Array(texts.length * config.projectionSize);
		for (const [i, text] of texts.entries()) {
			const { ids } = tokenizer.encode(text);
			const ends = endRows(ids, ids.length, tokenizer.endId);
			const { embeddings } = await program.run({ ids, ends });
			rows.set(embeddings as Float32Array, i * config.projectionSize);
		}
		return featureSet(rows, config.projectionSize);
	} finally {
		program.dispose();
		weights.release(device);
	}
}
