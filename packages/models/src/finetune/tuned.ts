// What was learned, read again: a run's folder, or files as the public tools write them, on top of a model.
import { existsSync, statSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import {
	ArgumentError,
	Checkpoint,
	FormatError,
	type FrozenTensor,
	LEARNING_METHOD,
	methodOf,
	readAnyRunRecord,
} from "@dreamdist/core";
import type { Pipeline } from "../pipeline/pipeline.js";
import { LORA_FILE, MODEL_FOLDER } from "./dreambooth.js";
import { isCustomDiffusion, readCustomDiffusion, WEIGHTS_FILE } from "./files/custom-diffusion-file.js";
import { isEmbedding, readEmbeddingWord } from "./files/embedding-file.js";
import { isLora, readLora } from "./files/lora-file.js";
import { type ChangedModel, changedModel, type LearnedWord, type ModelChange, TOKEN_TABLE } from "./model-change.js";
import { TEMPLATE_SETS, type TemplateSet } from "./templates.js";
import { EMBEDDING_FILE } from "./textual-inversion.js";

/** What a path holds besides a distribution of prompts. */
export interface TunedSource {
	/** Named in messages. */
	readonly path: string;
	/** Of its run; null for files of other programs. */
	readonly method: string | null;
	/** The model that it was learned with, as the user named it; null where that is not known. */
	readonly model: string | null;
	/** A whole model of its own, which takes the place of the one it was learned with; null where it changes one. */
	readonly folder: string | null;
	/** Files that change a model. */
	readonly files: readonly string[];
	/** Shows what was learned; null where only the user can say. */
	readonly prompt: string | null;
}

const TENSOR_FILE = /\.(safetensors|bin|pt|pth)$/i;
/** A word in a folder of Custom Diffusion: `<new1>.bin`. */
const WORD_FILE = /^<.+>\.(safetensors|bin)$/;

/** Files that change a model, by the names that diffusers' examples give them. */
const KNOWN_FILES = [LORA_FILE, WEIGHTS_FILE, EMBEDDING_FILE].flatMap((name) => [
	name,
	name.replace(/\.safetensors$/, ".bin"),
]);

/**
 * What a path holds: a run's folder of any method but DreamDistribution's own, a folder or a file of another program.
 *
 * @returns null for a distribution of prompts, and for what is not there
 * @throws FormatError for a run that has not finished, or a damaged file
 */
export async function findTuned(path: string): Promise<TunedSource | null> {
	if (!existsSync(path)) return null;
	if (!statSync(path).isDirectory()) return TENSOR_FILE.test(path) ? tunedFile(path) : null;
	const record = await readAnyRunRecord(join(path, "run.json"));
	if (record === null) return tunedFolder(path);
	const method = methodOf(record);
	if (method === LEARNING_METHOD) return null;
	if (record.status !== "finished")
		throw new FormatError(
			"BAD_RUN",
			path,
			`the run of ${method} in ${path} has not finished; go on with it first: train --resume ${path}`,
		);
	const { settings, model } = record;
	const said = (key: string) => (typeof settings[key] === "string" ? settings[key] : null);
	const common = { path, method, model: model.id, folder: null, files: [] };
	if (method === "short-caption" || method === "long-caption") return { ...common, prompt: said("caption") };
	if (method === "textual-inversion") {
		const templates = TEMPLATE_SETS[said("templates") as TemplateSet] ?? TEMPLATE_SETS.object;
		const prompt = templates[0]!.replace("{}", said("placeholder") ?? "");
		return { ...common, files: [join(path, EMBEDDING_FILE)], prompt };
	}
	const prompt = said("instancePrompt");
	if (method === "dreambooth") return { ...common, folder: join(path, MODEL_FOLDER), prompt };
	const files = (await tunedFolder(path))?.files ?? [];
	return { ...common, files, prompt };
}

/** A folder with files of the public tools; null where there are none. */
async function tunedFolder(path: string): Promise<TunedSource | null> {
	const names = await readdir(path);
	const files = names.filter((name) => KNOWN_FILES.includes(name) || WORD_FILE.test(name)).sort();
	// What is there in both forms is read once.
	const once = files.filter((name) => !(name.endsWith(".bin") && files.includes(name.replace(/bin$/, "safetensors"))));
	if (once.length === 0) return null;
	return { path, method: null, model: null, folder: null, files: once.map((name) => join(path, name)), prompt: null };
}

async function tunedFile(path: string): Promise<TunedSource | null> {
	const checkpoint = await Checkpoint.open(path);
	try {
		const names = [...checkpoint.tensors.keys()];
		if (!isLora(names) && !isCustomDiffusion(names) && !isEmbedding(checkpoint)) return null;
		return { path, method: null, model: null, folder: null, files: [path], prompt: null };
	} finally {
		checkpoint.dispose();
	}
}

/** A model with what was learned. Its pipeline stays the caller's. */
export interface TunedModel extends ChangedModel {
	/** What its new words are called. */
	readonly words: readonly string[];
}

/**
 * Puts what was learned on top of a model.
 *
 * @param files of all sources together
 * @param strength factor of LoRA's changes
 * @throws FormatError naming a file that does not fit the model
 */
export async function openTuned(pipe: Pipeline, files: readonly string[], strength = 1): Promise<TunedModel> {
	const { unet, text } = pipe.components;
	const checkpoints: Checkpoint[] = [];
	const changes: ModelChange<FrozenTensor>[] = [];
	try {
		for (const file of files) {
			const names = await namesIn(file);
			const open = async (dtype?: "f32" | "f16" | "bf16") => {
				const checkpoint = await Checkpoint.open(file, { dtype });
				checkpoints.push(checkpoint);
				return checkpoint;
			};
			if (isLora(names)) {
				const weights = { unet: unet.weights.tensors, text_encoder: text.weights.tensors };
				changes.push(await readLora(pipe.device, await open(), weights, strength));
			} else if (isCustomDiffusion(names)) {
				const checkpoint = await open(floatOf(unet.weights.tensors.get("conv_in.weight")!));
				changes.push({ unet: readCustomDiffusion(checkpoint, unet.weights.tensors), text: none(), words: [] });
			} else {
				const checkpoint = await open(floatOf(text.weights.tensors.get(TOKEN_TABLE)!));
				if (!isEmbedding(checkpoint))
					throw new FormatError("BAD_EMBEDDING", file, `${file} is no LoRA, embedding or Custom Diffusion's weights`);
				changes.push({ unet: none(), text: none(), words: [readEmbeddingWord(checkpoint, text.config.hiddenSize)] });
			}
		}
		const change = together(changes);
		const model = changedModel(pipe, change);
		return {
			...model,
			words: change.words.map(({ token }) => token),
			dispose() {
				model.dispose();
				for (const checkpoint of checkpoints) checkpoint.dispose();
			},
		};
	} catch (error) {
		for (const checkpoint of checkpoints) checkpoint.dispose();
		throw error;
	}
}

const none = () => ({ replaced: new Map<string, FrozenTensor>(), lowRank: new Map() });

/** The precision of a weight, for those that take its place. */
function floatOf({ dtype }: FrozenTensor): "f32" | "f16" | "bf16" {
	return dtype === "i32" ? "f32" : dtype;
}

async function namesIn(file: string): Promise<string[]> {
	const checkpoint = await Checkpoint.open(file);
	const names = [...checkpoint.tensors.keys()];
	checkpoint.dispose();
	return names;
}

/** @throws ArgumentError where two of them change the same weight, or call a word the same */
function together(changes: readonly ModelChange<FrozenTensor>[]): ModelChange<FrozenTensor> {
	const merged: { unet: ReturnType<typeof none>; text: ReturnType<typeof none>; words: LearnedWord<FrozenTensor>[] } = {
		unet: none(),
		text: none(),
		words: [],
	};
	for (const { unet, text, words } of changes) {
		for (const [into, from] of [
			[merged.unet, unet],
			[merged.text, text],
		] as const) {
			for (const [name, tensor] of from.replaced) into.replaced.set(name, unchanged(into, name, tensor));
			for (const [name, pair] of from.lowRank) into.lowRank.set(name, unchanged(into, name, pair));
		}
		merged.words.push(...words);
	}
	return merged;
}

function unchanged<T>(into: ReturnType<typeof none>, name: string, value: T): T {
	if (!into.replaced.has(name) && !into.lowRank.has(name)) return value;
	throw new ArgumentError(`two of the files change the weight "${basename(name)}" (${name}); use one of them`);
}
