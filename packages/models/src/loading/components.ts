// The three networks of a latent diffusion model, each with its configuration and all of its weights accounted for.
import { accountForWeights, type FrozenTensor, type Shape, WeightSet } from "@dreamdist/core";
import { type AutoencoderConfig, readAutoencoderConfig } from "../networks/autoencoder-config.js";
import { type ClipTextConfig, readClipTextConfig } from "../networks/clip-text-config.js";
import { autoencoderWeights, textEncoderWeights, unetWeights } from "../networks/declare.js";
import { readUNetConfig, type UNetConfig } from "../networks/unet-config.js";
import { autoencoderTensors, type Tensors, textEncoderTensors } from "./component-names.js";

/** A network ready to be written into graphs. */
export interface Component<Config> {
	readonly config: Config;
	readonly weights: WeightSet;
}

/** The folders of a model, and what is different about each. */
export interface ComponentKind<Config> {
	/** Its folder. */
	readonly folder: string;
	/** The class that `model_index.json` must name. */
	readonly className: string;
	readConfig(json: unknown, source: string): Config;
	/** Every weight the network asks for. */
	declare(config: Config): Map<string, Shape>;
	/** Tensors of the Hub's layout under the names the network asks for. */
	rename(tensors: Tensors): Map<string, FrozenTensor>;
}

export const TEXT_ENCODER: ComponentKind<ClipTextConfig> = {
	folder: "text_encoder",
	className: "CLIPTextModel",
	readConfig: readClipTextConfig,
	declare: textEncoderWeights,
	rename: textEncoderTensors,
};

export const UNET: ComponentKind<UNetConfig> = {
	folder: "unet",
	className: "UNet2DConditionModel",
	readConfig: readUNetConfig,
	declare: unetWeights,
	rename: (tensors) => new Map(tensors),
};

export const AUTOENCODER: ComponentKind<AutoencoderConfig> = {
	folder: "vae",
	className: "AutoencoderKL",
	readConfig: readAutoencoderConfig,
	declare: autoencoderWeights,
	rename: autoencoderTensors,
};

/**
 * Puts a network together.
 *
 * @param tensors in the Hub's layout
 * @param origin where they come from, for errors
 * @throws WeightsError that lists every missing, misshaped and unexpected weight
 */
export function assemble<Config>(
	kind: ComponentKind<Config>,
	config: Config,
	tensors: Tensors,
	origin: string,
): Component<Config> {
	const renamed = kind.rename(tensors);
	accountForWeights(kind.declare(config), renamed, origin);
	return { config, weights: new WeightSet(renamed, origin) };
}
