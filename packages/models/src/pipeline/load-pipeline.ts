// From the name of a model to a pipeline.
import { stat } from "node:fs/promises";
import {
	ArgumentError,
	type Autoencoder,
	type Denoiser,
	Device,
	FormatError,
	fileError,
	openDevice,
	type TextEncoder,
} from "@dreamdist/core";
import { AUTOENCODER, TEXT_ENCODER, UNET } from "../loading/components.js";
import { DiffusersFolder } from "../loading/diffusers-folder.js";
import type { ModelFiles, OpenModelOptions } from "../loading/model-files.js";
import { SingleFile } from "../loading/single-file.js";
import { asAutoencoder, asDenoiser, asTextEncoder } from "./networks.js";
import { Pipeline } from "./pipeline.js";

/** What happens while a model loads. */
export type LoadEvent =
	/** A network's files are open and all its weights accounted for. */
	| { kind: "component"; component: "text_encoder" | "unet" | "vae"; parameters: number; bytes: number }
	/** Something was assumed, in a sentence for the user. */
	| { kind: "note"; message: string };

export interface LoadPipelineOptions extends OpenModelOptions {
	/** "auto" (the default), "cpu", "cuda", "cuda:1" …, or a device that is open already and stays so. */
	device?: string | Device | undefined;
	signal?: AbortSignal | undefined;
	onProgress?: ((event: LoadEvent) => void) | undefined;
}

/**
 * Opens the files of a model: a folder in diffusers' layout, or a single `.safetensors` file in the original layout.
 *
 * @throws FileError, FormatError or WeightsError in one sentence that names the file, key or weights at fault
 */
export async function openModel(path: string, options: OpenModelOptions = {}): Promise<ModelFiles> {
	let isFolder: boolean;
	try {
		isFolder = (await stat(path)).isDirectory();
	} catch (error) {
		throw fileError(error, "read the model", path);
	}
	if (isFolder) return DiffusersFolder.open(path, options);
	if (path.endsWith(".safetensors")) return SingleFile.open(path, options);
	throw new ArgumentError(
		`${path} is no model: models are folders in diffusers' layout or .safetensors files${/\.(ckpt|pt|pth|bin)$/.test(path) ? " (pickled checkpoints can run code; convert it first)" : ""}`,
	);
}

/**
 * Loads a text-to-image model. Weights are packed for the device when the first program that reads them is compiled.
 *
 * ```ts
 * const pipe = await loadPipeline("models/stable-diffusion-2-1");
 * const { features } = await pipe.encodeText(["a lighthouse"]);
 * pipe.dispose();
 * ```
 *
 * @throws as `openModel`; GraphError for a device that is not there; the signal's reason when it is aborted
 */
export async function loadPipeline(path: string, options: LoadPipelineOptions = {}): Promise<Pipeline> {
	const { device: wanted = "auto", signal, onProgress } = options;
	signal?.throwIfAborted();
	const device = wanted instanceof Device ? wanted : await openDevice(wanted);
	const ownsDevice = device !== wanted;
	let files: ModelFiles | undefined;
	try {
		files = await openModel(path, options);
		const { textEncoder, denoiser, autoencoder } = await loadNetworks(files, signal, onProgress);
		checkTogether(path, textEncoder, denoiser, autoencoder);
		const scheduler = await files.scheduler();
		signal?.throwIfAborted();
		for (const message of files.notes) onProgress?.({ kind: "note", message });
		return new Pipeline({ id: path, device, ownsDevice, files, textEncoder, denoiser, autoencoder, scheduler });
	} catch (error) {
		files?.dispose();
		if (ownsDevice) device.dispose();
		throw error;
	}
}

async function loadNetworks(
	files: ModelFiles,
	signal: AbortSignal | undefined,
	onProgress: ((event: LoadEvent) => void) | undefined,
): Promise<{ textEncoder: TextEncoder; denoiser: Denoiser; autoencoder: Autoencoder }> {
	const tokenizer = await files.tokenizer();
	signal?.throwIfAborted();
	const text = await files.load(TEXT_ENCODER);
	onProgress?.({ kind: "component", component: "text_encoder", ...sizesOf(text.weights) });
	signal?.throwIfAborted();
	const unet = await files.load(UNET);
	onProgress?.({ kind: "component", component: "unet", ...sizesOf(unet.weights) });
	signal?.throwIfAborted();
	const vae = await files.load(AUTOENCODER);
	onProgress?.({ kind: "component", component: "vae", ...sizesOf(vae.weights) });

	const { vocabularySize, maxPositions } = text.config;
	if (tokenizer.vocabularySize > vocabularySize || tokenizer.length > maxPositions)
		throw new FormatError(
			"BAD_TOKENIZER",
			files.path,
			`${files.path}: the tokenizer has ${tokenizer.vocabularySize} tokens and texts of ${tokenizer.length}, but the text encoder ${vocabularySize} and ${maxPositions}`,
		);
	return { textEncoder: asTextEncoder(text, tokenizer), denoiser: asDenoiser(unet), autoencoder: asAutoencoder(vae) };
}

function sizesOf({ parameters, bytes }: { parameters: number; bytes: number }) {
	return { parameters, bytes };
}

/** The networks must fit each other. */
function checkTogether(path: string, text: TextEncoder, denoiser: Denoiser, autoencoder: Autoencoder): void {
	const fail = (problem: string): never => {
		throw new FormatError("BAD_MODEL", path, `${path}: ${problem}`);
	};
	if (text.width !== denoiser.contextWidth)
		fail(`the text encoder makes features of width ${text.width}, but the UNet reads ${denoiser.contextWidth}`);
	if (denoiser.latentChannels !== autoencoder.latentChannels)
		fail(
			`the UNet reads ${denoiser.latentChannels} channels, but latents have ${autoencoder.latentChannels} (inpainting and depth models are not supported)`,
		);
}
