// Custom Diffusion (Kumari et al. 2022): keys and values of the cross-attentions are trained, and the embedding of a new word.
import { join } from "node:path";
import { ArgumentError, type Shape } from "@dreamdist/core";
import { unetWeights } from "../networks/declare.js";
import type { Pipeline } from "../pipeline/pipeline.js";
import { embeddingFileOf, WEIGHTS_FILE, writeCustomDiffusion } from "./files/custom-diffusion-file.js";
import { checkHolds, type TuningMethod, vectorPart, weightPart } from "./method.js";
import { NO_CHANGE } from "./model-change.js";
import type { CustomDiffusionSettings } from "./settings.js";

const UNET = "unet";
const VECTORS = "vectors";
const TRAINED = {
	kv: /\.attn2\.to_[kv]\.weight$/,
	all: /\.attn2\.(to_[qkv]\.weight|to_out\.0\.(weight|bias))$/,
} as const;

/** Below and above these the prompt says that the picture is shown small, or large. */
const FAR = 0.6;
const NEAR = 1;
const FAR_WORDS = ["a far away ", "very small "] as const;
const NEAR_WORDS = ["zoomed in ", "close up "] as const;

export function customDiffusion(pipe: Pipeline, settings: CustomDiffusionSettings): TuningMethod {
	const { placeholder, initialWords, instancePrompt, classPrompt, projections, zoom, size } = settings;
	checkHolds(instancePrompt, placeholder);
	if (zoom && size !== null && size[0] !== size[1])
		throw new ArgumentError(
			`pictures are zoomed at square sizes only, not ${size.join("×")}; give one side, or --no-zoom`,
		);
	const { unet } = pipe.components;
	const trained: [string, Shape][] = [...unetWeights(unet.config)].filter(([name]) => TRAINED[projections].test(name));
	return {
		zoom,
		classPrompt,
		prompt: instancePrompt,
		parts: [
			...trained.map(([name, shape]) => weightPart(pipe, UNET, name, unet.weights.tensors.get(name)!, shape)),
			vectorPart(pipe, VECTORS, initialWords, 1),
		],
		change: (learned) => ({
			unet: {
				replaced: new Map(trained.map(([name]) => [name, learned.get(`${UNET}.${name}`)!])),
				lowRank: new Map(),
			},
			text: NO_CHANGE,
			words: [{ token: placeholder, vectors: learned.get(VECTORS)! }],
		}),
		instancePrompt: (random, shown) => {
			const words = shown < FAR ? FAR_WORDS : shown > NEAR ? NEAR_WORDS : null;
			return words ? words[Math.floor(random * words.length)]! + instancePrompt : instancePrompt;
		},
		save: async (folder, read) => {
			const shapes = new Map(trained);
			await writeCustomDiffusion(join(folder, WEIGHTS_FILE), shapes, (name) => read(`${UNET}.${name}`));
			const embedding = await embeddingFileOf(folder, placeholder, await read(VECTORS));
			return [WEIGHTS_FILE, embedding];
		},
	};
}
