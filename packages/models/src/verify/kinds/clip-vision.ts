import { cast, exp, gradients, l2Normalize, matmul, mul, transpose, type Value } from "@dreamdist/core";
import { CLIP } from "../../loading/encoder-kinds.js";
import { clipTextFeatures, endRows } from "../../networks/clip.js";
import { clipVisionModel } from "../../networks/clip-vision.js";
import type { CaseKind } from "../case.js";
import { channelsLast } from "../layout.js";

const BOUND = 1e-4;
const GRADIENT_BOUND = 5e-4;

/** Both towers of a whole CLIP, their agreement, and the gradient of the pixels. */
export const clipVisionCase: CaseKind = async (one) => {
	const { config, weights } = await one.component(CLIP);
	const pixels = await one.input("pixel_values");
	const ids = await one.input("input_ids");
	const seed = one.has("grad_image_embeds") ? await one.input("grad_image_embeds") : null;
	const endToken = Number(one.attributes.eos_token_id ?? config.endToken);
	const results: Record<string, ArrayLike<number>> = await one.runner.run(
		"clip",
		(graph) => {
			const door = weights.open(graph);
			const pictures = graph.input("pixels", pixels.shape);
			const image = clipVisionModel(door, config.vision, channelsLast(pictures));
			const words = graph.input("ids", ids.shape, "i32");
			const text = clipTextFeatures(door, config, words, graph.input("ends", [ids.shape[0]!], "i32"));
			const cosine = matmul(l2Normalize(image.embeddings), transpose(l2Normalize(text.embeddings), [1, 0]));
			const outputs: Record<string, Value> = {
				last_hidden_state: image.lastHiddenState,
				pooled: image.pooled,
				image_embeds: image.embeddings,
				text_last_hidden_state: text.lastHiddenState,
				text_pooled: text.pooled,
				text_embeds: text.embeddings,
				cosine,
				logits_per_image: mul(cosine, exp(cast(door.get("logit_scale", []), "f32"))),
			};
			if (seed)
				outputs.grad_pixel_values = gradients(image.embeddings, [pictures], graph.input("seed", seed.shape))[0]!;
			return outputs;
		},
		{
			pixels: pixels.data,
			ids: ids.data,
			ends: endRows(ids.data, ids.shape[1]!, endToken),
			...(seed && { seed: seed.data }),
		},
	);
	for (const [name, data] of Object.entries(results))
		if (one.has(name)) await one.compare(name, data, name.startsWith("grad_") ? GRADIENT_BOUND : BOUND);
};
