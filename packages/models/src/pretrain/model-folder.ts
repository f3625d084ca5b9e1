// The model folder that full training fills: diffusers' layout, in f16.
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { encodeF16, fileError, type Shape, type TensorData, writeFileAtomic, writeSafetensors } from "@dreamdist/core";
import { AUTOENCODER, TEXT_ENCODER, UNET } from "../loading/components.js";
import type { Recipe } from "./recipe.js";

/** The release whose defaults the scheduler's file is read with. */
const DIFFUSERS = "0.24.0";

export const WEIGHT_FILES = {
	text_encoder: "model.safetensors",
	image_encoder: "model.safetensors",
	classifier: "model.safetensors",
	unet: "diffusion_pytorch_model.safetensors",
	vae: "diffusion_pytorch_model.safetensors",
} as const;

/** The recipe that a folder's networks were trained by. */
export const RECIPE_FILE = "recipe.json";

export type ComponentFolder = keyof typeof WEIGHT_FILES;

async function writeJson(path: string, json: object): Promise<void> {
	try {
		await mkdir(dirname(path), { recursive: true });
	} catch (error) {
		throw fileError(error, "make the folder", dirname(path));
	}
	await writeFileAtomic(path, `${JSON.stringify(json, null, 2)}\n`);
}

/** Writes a network: its configuration and its weights, rounded to f16. */
export async function writeComponent(
	folder: string,
	component: ComponentFolder,
	config: object,
	shapes: ReadonlyMap<string, Shape>,
	read: (name: string) => Promise<Float32Array>,
): Promise<void> {
	const tensors = new Map<string, TensorData>();
	for (const [name, shape] of shapes)
		tensors.set(name, { dtype: "F16", shape, data: async () => encodeF16(await read(name)) });
	await writeJson(join(folder, component, "config.json"), config);
	await writeSafetensors(join(folder, component, WEIGHT_FILES[component]), tensors, { metadata: { format: "pt" } });
}

/** Writes what makes a pipeline of the networks. */
export async function writeModelIndex(folder: string, recipe: Recipe): Promise<void> {
	const { scheduler } = recipe.networks;
	const { guidance, learnedGuidance, sampleSteps } = recipe.stages.unet;
	await writeJson(join(folder, "generation_config.json"), {
		guidance_scale: guidance,
		...(learnedGuidance !== null && { learned_guidance_scale: learnedGuidance }),
		num_inference_steps: sampleSteps,
	});
	await writeJson(join(folder, "scheduler", "scheduler_config.json"), { ...scheduler, _diffusers_version: DIFFUSERS });
	await writeJson(join(folder, RECIPE_FILE), recipe);
	await writeJson(join(folder, "model_index.json"), {
		_class_name: "StableDiffusionPipeline",
		_diffusers_version: DIFFUSERS,
		scheduler: ["diffusers", scheduler._class_name],
		text_encoder: ["transformers", TEXT_ENCODER.className],
		tokenizer: ["transformers", "CLIPTokenizer"],
		unet: ["diffusers", UNET.className],
		vae: ["diffusers", AUTOENCODER.className],
	});
}
