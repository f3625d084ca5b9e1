// Textual Inversion (Gal et al. 2022): nothing but the embedding of a new word is trained.
import { join } from "node:path";
import { writeEmbedding } from "@dreamdist/core";
import type { Pipeline } from "../pipeline/pipeline.js";
import { type TuningMethod, vectorPart } from "./method.js";
import { NO_CHANGE } from "./model-change.js";
import type { TextualInversionSettings } from "./settings.js";
import { TEMPLATE_SETS } from "./templates.js";

const VECTORS = "vectors";
/** As diffusers' example names it. */
export const EMBEDDING_FILE = "learned_embeds.safetensors";

export function textualInversion(pipe: Pipeline, settings: TextualInversionSettings): TuningMethod {
	const { placeholder, initialWords, vectors } = settings;
	const templates = TEMPLATE_SETS[settings.templates];
	const say = (template: string) => template.replace("{}", placeholder);
	return {
		parts: [vectorPart(pipe, VECTORS, initialWords, vectors)],
		change: (parts) => ({
			unet: NO_CHANGE,
			text: NO_CHANGE,
			words: [{ token: placeholder, vectors: parts.get(VECTORS)! }],
		}),
		instancePrompt: (random) => say(templates[Math.floor(random * templates.length)]!),
		classPrompt: null,
		prompt: say(templates[0]!),
		save: async (folder, read) => {
			const options = { layout: "diffusers", token: placeholder } as const;
			await writeEmbedding(join(folder, EMBEDDING_FILE), await read(VECTORS), pipe.textEncoder.width, options);
			return [EMBEDDING_FILE];
		},
	};
}
