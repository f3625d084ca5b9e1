// A whole model as a folder in diffusers' layout: trained networks, and everything else as the model it began with has it.
import { cp, mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import {
	ArgumentError,
	encodeBf16,
	encodeF16,
	type FrozenTensor,
	fileError,
	type TensorData,
	writeSafetensors,
} from "@dreamdist/core";
import { TEXT_ENCODER, UNET } from "../../loading/components.js";
import type { Pipeline } from "../../pipeline/pipeline.js";

type ReadWeight = (name: string) => Promise<Float32Array>;

export interface TrainedNetworks {
	readonly unet: ReadWeight;
	/** Null: it stayed as it was. */
	readonly text: ReadWeight | null;
}

const WEIGHTS = /\.(safetensors|bin|ckpt|pt|msgpack|h5|onnx|index\.json)$/;
/** What a model needs; a run of full training beside it, say, is not copied. */
const PARTS = [
	"model_index.json",
	"generation_config.json",
	"scheduler",
	"tokenizer",
	"text_encoder",
	"unet",
	"vae",
	"feature_extractor",
] as const;

/** @throws ArgumentError for a model that was loaded from a single file */
export function checkModelFolder({ path, identity }: Pipeline): void {
	if (path.endsWith(".safetensors"))
		throw new ArgumentError(
			`DreamBooth writes a whole model in diffusers' layout and needs one to begin with, and ${identity.id} is a single file; ` +
				"use its folder, or --method dreambooth-lora",
		);
}

/**
 * Writes the model, whole or not at all: it appears under its name when everything is written. Trained weights are stored in the precision
 * that the model's own had.
 */
export async function writeModelFolder(pipe: Pipeline, folder: string, trained: TrainedNetworks): Promise<void> {
	const partial = `${folder}.partial`;
	try {
		await rm(partial, { recursive: true, force: true });
		await mkdir(partial, { recursive: true });
		const there = new Set(await readdir(pipe.path));
		for (const name of PARTS.filter((each) => there.has(each))) {
			const isTrained = name === UNET.folder || (name === TEXT_ENCODER.folder && trained.text !== null);
			await cp(join(pipe.path, name), join(partial, name), {
				recursive: true,
				dereference: true,
				filter: async (source) => !(isTrained && WEIGHTS.test(source) && (await stat(source)).isFile()),
			});
		}
		const { unet, text } = pipe.components;
		await writeNetwork(
			join(partial, UNET.folder, "diffusion_pytorch_model.safetensors"),
			unet.weights.tensors,
			"",
			trained.unet,
		);
		if (trained.text)
			await writeNetwork(
				join(partial, TEXT_ENCODER.folder, "model.safetensors"),
				text.weights.tensors,
				"text_model.",
				trained.text,
			);
		await rm(folder, { recursive: true, force: true });
		await rename(partial, folder);
	} catch (error) {
		await rm(partial, { recursive: true, force: true }).catch(() => undefined);
		throw fileError(error, "write the model", folder);
	}
}

async function writeNetwork(
	path: string,
	like: ReadonlyMap<string, FrozenTensor>,
	prefix: string,
	read: ReadWeight,
): Promise<void> {
	const tensors = new Map<string, TensorData>();
	for (const [name, { shape, dtype }] of like)
		tensors.set(
			`${prefix}${name}`,
			stored(dtype, shape, () => read(name)),
		);
	await writeSafetensors(path, tensors, { metadata: { format: "pt" } });
}

function stored(dtype: FrozenTensor["dtype"], shape: readonly number[], read: () => Promise<Float32Array>): TensorData {
	if (dtype === "f16") return { dtype: "F16", shape, data: async () => encodeF16(await read()) };
	if (dtype === "bf16") return { dtype: "BF16", shape, data: async () => encodeBf16(await read()) };
	return { dtype: "F32", shape, data: read };
}
