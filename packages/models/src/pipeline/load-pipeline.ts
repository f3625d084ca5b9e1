// From the name of a model to a pipeline.
import { stat } from "node:fs/promises";
import {
	ArgumentError,
	Device,
	FormatError,
	fileError,
	fingerprintWeights,
	openDevice,
	type Tokenizer,
} from "@dreamdist/core";
import { findModel } from "../embedded/embedded-model.js";
import { AUTOENCODER, type Component, type ComponentKind, TEXT_ENCODER, UNET } from "../loading/components.js";
import { DiffusersFolder } from "../loading/diffusers-folder.js";
import type { ModelFiles, OpenModelOptions } from "../loading/model-files.js";
import { SingleFile } from "../loading/single-file.js";
import type { AutoencoderConfig } from "../networks/autoencoder-config.js";
import type { ClipTextConfig } from "../networks/clip-text-config.js";
import type { UNetConfig } from "../networks/unet-config.js";
import { asAutoencoder, asDenoiser, asTextEncoder } from "./networks.js";
import { Pipeline } from "./pipeline.js";

/** What happens while a model loads. */
export type LoadEvent =
	/** A network's files (in the folder `component`) are open and all its weights accounted for. */
	| { kind: "component"; component: string; parameters: number; bytes: number }
	/** Something was assumed, in a sentence for the user. */
	| { kind: "note"; message: string };

export interface LoadPipelineOptions extends OpenModelOptions {
	/** "auto" (the default), "cpu", "cuda", "cuda:1" …, or a device that is open already and stays so. */
	device?: string | Device | undefined;
	/** Whether a device that is opened here computes products of f32 in tf32; CUDA devices only. Default false. */
	tf32?: boolean | undefined;
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
 * Loads a text-to-image model: "mini", which comes with the package; a path; or the id of one on the Hub (`name[@revision]`) that is in the local cache. Weights are packed for the device when the first program that reads them is compiled.
 *
 * ```ts
 * const pipe = await loadPipeline("models/stable-diffusion-2-1");
 * const { features } = await pipe.encodeText(["a lighthouse"]);
 * pipe.dispose();
 * ```
 *
 * @throws as `openModel`; GraphError for a device that is not there; the signal's reason when it is aborted
 */
export async function loadPipeline(idOrPath: string, options: LoadPipelineOptions = {}): Promise<Pipeline> {
	const { device: wanted = "auto", signal, onProgress } = options;
	signal?.throwIfAborted();
	const device =
		wanted instanceof Device
			? wanted
			: await openDevice(wanted, {
					activations: onCard(wanted) ? options.dtype : undefined,
					tf32: options.tf32 ?? false,
				});
	const ownsDevice = device !== wanted;
	let files: ModelFiles | undefined;
	try {
		files = await openModel(await findModel(idOrPath), options);
		const networks = await loadNetworks(files, signal, onProgress);
		checkTogether(files.path, networks);
		const { text, unet, vae, tokenizer } = networks;
		const scheduler = await files.scheduler();
		const sampling = await files.sampling();
		const fingerprint = await fingerprintWeights(device, text.weights);
		signal?.throwIfAborted();
		if (device.kind === "cpu" && options.dtype !== undefined && options.dtype !== "f32")
			onProgress?.({
				kind: "note",
				message: `On the CPU ${options.dtype} is only how weights are held; arithmetic is f32. On CUDA devices activations are ${options.dtype} too.`,
			});
		for (const message of files.notes) onProgress?.({ kind: "note", message });
		return new Pipeline({
			id: idOrPath,
			device,
			ownsDevice,
			files,
			textEncoder: asTextEncoder(text, tokenizer),
			denoiser: asDenoiser(unet),
			autoencoder: asAutoencoder(vae),
			components: { text, unet, vae },
			scheduler,
			sampling,
			fingerprint,
		});
	} catch (error) {
		files?.dispose();
		if (ownsDevice) device.dispose();
		throw error;
	}
}

/** A card computes in the type that weights are held in; on the CPU that is storage alone. */
const onCard = (device: string) => device.startsWith("cuda");

interface Networks {
	tokenizer: Tokenizer;
	text: Component<ClipTextConfig>;
	unet: Component<UNetConfig>;
	vae: Component<AutoencoderConfig>;
}

async function loadNetworks(
	files: ModelFiles,
	signal: AbortSignal | undefined,
	onProgress: ((event: LoadEvent) => void) | undefined,
): Promise<Networks> {
	const load = async <Config>(kind: ComponentKind<Config>): Promise<Component<Config>> => {
		signal?.throwIfAborted();
		const component = await files.load(kind);
		const { parameters, bytes } = component.weights;
		onProgress?.({ kind: "component", component: kind.folder, parameters, bytes });
		return component;
	};
	return {
		tokenizer: await files.tokenizer(),
		text: await load(TEXT_ENCODER),
		unet: await load(UNET),
		vae: await load(AUTOENCODER),
	};
}

/** The networks must fit each other. */
function checkTogether(path: string, { tokenizer, text, unet, vae }: Networks): void {
	const fail = (problem: string): never => {
		throw new FormatError("BAD_MODEL", path, `${path}: ${problem}`);
	};
	const { vocabularySize, maxPositions, hiddenSize } = text.config;
	if (tokenizer.vocabularySize > vocabularySize || tokenizer.length > maxPositions)
		fail(
			`the tokenizer has ${tokenizer.vocabularySize} tokens and texts of ${tokenizer.length}, but the text encoder ${vocabularySize} and ${maxPositions}`,
		);
	if (hiddenSize !== unet.config.contextWidth)
		fail(`the text encoder makes features of width ${hiddenSize}, but the UNet reads ${unet.config.contextWidth}`);
	const { inChannels, outChannels } = unet.config;
	const { latentChannels } = vae.config;
	if (inChannels !== latentChannels || outChannels !== latentChannels)
		fail(
			`the UNet reads ${inChannels} channels and predicts ${outChannels}, but latents have ${latentChannels} (inpainting and depth models are not supported)`,
		);
	if (vae.config.inChannels !== 3 || vae.config.outChannels !== 3) fail("the autoencoder is not for RGB pictures");
}
