// A new model folder with random weights, in the layout of the published ones: for tests, benchmarks and training from scratch.
import { copyFile, mkdir, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import {
	ArgumentError,
	type Device,
	FileError,
	FormatError,
	fileError,
	type TensorData,
	writeFileAtomic,
	writeSafetensors,
} from "@dreamdist/core";
import { AUTOENCODER, type ComponentKind, TEXT_ENCODER, UNET } from "../loading/components.js";
import { DEFAULT_CONFIGS, type DefaultConfigName, type ModelConfigs } from "../loading/default-configs.js";
import { loadTokenizer, writeByteLevelTokenizer } from "../tokenizer/index.js";
import { RandomWeights, type WeightDtype } from "./random-weights.js";

/** The configurations that `initModel` knows by name. */
export const INIT_CONFIGS = Object.keys(DEFAULT_CONFIGS) as readonly DefaultConfigName[];

export interface InitModelOptions {
	config: DefaultConfigName;
	/** A whole number from 0 on; a seed gives the same weights on every machine. */
	seed: number;
	/** Default "f16". */
	dtype?: WeightDtype | undefined;
	/** Folder of a tokenizer to copy; otherwise one that knows bytes only is written. */
	tokenizer?: string | undefined;
	/** Draws the random numbers. */
	device: Device;
	signal?: AbortSignal | undefined;
	onProgress?: ((event: InitEvent) => void) | undefined;
}

export interface InitEvent {
	/** The folder whose weights are being written. */
	component: string;
	/** Numbers written so far in the whole model, and in all. */
	done: number;
	total: number;
}

const VERSION = "0.24.0";
const WEIGHT_FILES = {
	[TEXT_ENCODER.folder]: "model.safetensors",
	[UNET.folder]: "diffusion_pytorch_model.safetensors",
	[AUTOENCODER.folder]: "diffusion_pytorch_model.safetensors",
};
const TOKENIZER_FILES = ["vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"];

/**
 * Writes a model folder, whole or not at all: it appears under its name when everything is written.
 *
 * @param folder must not exist, or be empty
 * @returns the number of parameters of each network
 * @throws ArgumentError or FileError in one sentence; the signal's reason when it is aborted
 */
export async function initModel(folder: string, options: InitModelOptions): Promise<Record<string, number>> {
	const { config, seed } = options;
	if (!Object.hasOwn(DEFAULT_CONFIGS, config))
		throw new ArgumentError(`There is no configuration "${config}"; choose ${INIT_CONFIGS.join(", ")}.`);
	if (!Number.isSafeInteger(seed) || seed < 0)
		throw new ArgumentError(`A seed is a whole number from 0 on, not ${seed}.`);
	const target = resolve(folder);
	await requireVacant(target);
	const partial = join(dirname(target), `.${basename(target)}.${process.pid}.dreamdist-tmp`);
	try {
		await mkdir(partial, { recursive: true });
		const parameters = await writeModel(partial, DEFAULT_CONFIGS[config], options);
		options.signal?.throwIfAborted();
		await rm(target, { recursive: true, force: true });
		await rename(partial, target);
		return parameters;
	} catch (error) {
		await rm(partial, { recursive: true, force: true }).catch(() => undefined);
		throw fileError(error, "write the model", target);
	}
}

/** Random weights never replace anything. */
async function requireVacant(folder: string): Promise<void> {
	let entries: string[];
	try {
		entries = await readdir(folder);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
		throw fileError(error, "write the model", folder);
	}
	if (entries.length > 0)
		throw new FileError("FILE_EXISTS", folder, `${folder} is not empty; name a new folder for the model`);
}

async function writeModel(
	folder: string,
	configs: ModelConfigs,
	options: InitModelOptions,
): Promise<Record<string, number>> {
	const writeJson = async (name: string, json: object) => {
		await mkdir(dirname(join(folder, name)), { recursive: true });
		await writeFileAtomic(join(folder, name), `${JSON.stringify(json, null, 2)}\n`);
	};
	await writeJson("scheduler/scheduler_config.json", { ...configs.scheduler, _diffusers_version: VERSION });
	await writeTokenizer(join(folder, "tokenizer"), configs, options);
	const parameters = await writeNetworks(folder, configs, options, writeJson);
	await writeJson("model_index.json", {
		_class_name: "StableDiffusionPipeline",
		_diffusers_version: VERSION,
		scheduler: ["diffusers", configs.scheduler._class_name],
		text_encoder: ["transformers", TEXT_ENCODER.className],
		tokenizer: ["transformers", "CLIPTokenizer"],
		unet: ["diffusers", UNET.className],
		vae: ["diffusers", AUTOENCODER.className],
	});
	return parameters;
}

async function writeNetworks(
	folder: string,
	configs: ModelConfigs,
	options: InitModelOptions,
	writeJson: (name: string, json: object) => Promise<void>,
): Promise<Record<string, number>> {
	const { seed, device, signal, onProgress, dtype = "f16" } = options;
	const networks = [plan(TEXT_ENCODER, configs), plan(UNET, configs), plan(AUTOENCODER, configs)];
	const total = networks.reduce((sum, { parameters }) => sum + parameters, 0);
	let done = 0;
	const random = await RandomWeights.open(device, dtype);
	try {
		for (const [number, { kind, json, shapes }] of networks.entries()) {
			await writeJson(`${kind}/config.json`, json);
			const tensors = new Map<string, TensorData>();
			[...shapes].forEach(([name, shape], index) => {
				// Transformers saves the text encoder's weights under this prefix.
				const saved = kind === TEXT_ENCODER.folder ? `text_model.${name}` : name;
				const tensor = random.tensor(name, shape, number * 2 ** 16 + index, seed, signal);
				const data = async () => {
					signal?.throwIfAborted();
					onProgress?.({ component: kind, done, total });
					done += shape.reduce((a, b) => a * b, 1);
					return typeof tensor.data === "function" ? tensor.data() : tensor.data;
				};
				tensors.set(saved, { ...tensor, data });
			});
			await writeSafetensors(join(folder, kind, WEIGHT_FILES[kind]!), tensors, { metadata: { format: "pt" } });
		}
	} finally {
		random.dispose();
	}
	return Object.fromEntries(networks.map(({ kind, parameters }) => [kind, parameters]));
}

function plan<Config>(kind: ComponentKind<Config>, configs: ModelConfigs) {
	const json = configs[kind.folder as "unet" | "vae" | "text_encoder"];
	const shapes = kind.declare(kind.readConfig(json, kind.folder));
	let parameters = 0;
	for (const shape of shapes.values()) parameters += shape.reduce((a, b) => a * b, 1);
	return { kind: kind.folder, json: { ...json, _diffusers_version: VERSION }, shapes, parameters };
}

async function writeTokenizer(folder: string, configs: ModelConfigs, { tokenizer }: InitModelOptions): Promise<void> {
	if (tokenizer === undefined) return writeByteLevelTokenizer(folder);
	const { vocabularySize } = await loadTokenizer(tokenizer);
	const room = TEXT_ENCODER.readConfig(configs.text_encoder, "text_encoder").vocabularySize;
	if (vocabularySize > room)
		throw new FormatError(
			"BAD_TOKENIZER",
			tokenizer,
			`the tokenizer ${tokenizer} has ${vocabularySize} tokens, but the text encoder only ${room}`,
		);
	await mkdir(folder, { recursive: true });
	for (const name of TOKENIZER_FILES)
		await copyFile(join(tokenizer, name), join(folder, name)).catch((error: NodeJS.ErrnoException) => {
			// Only the last of them may be missing, and the tokenizer was loaded without it.
			if (error.code !== "ENOENT") throw fileError(error, "copy", join(tokenizer, name));
		});
}
