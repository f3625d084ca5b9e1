// The loaded networks as core's interfaces, so that methods and samplers can write them into their own programs.
import type { Autoencoder, Denoiser, Graph, TextEncoder, Tokenizer, Weights } from "@dreamdist/core";
import { autoencoderFactor, decodeLatents, encodePictures } from "../networks/autoencoder.js";
import type { AutoencoderConfig } from "../networks/autoencoder-config.js";
import { clipPositionEmbeddings, clipTextModel, clipTokenEmbeddings } from "../networks/clip-text.js";
import type { ClipTextConfig } from "../networks/clip-text-config.js";
import { unet, unetSizeMultiple } from "../networks/unet.js";
import type { UNetConfig } from "../networks/unet-config.js";

/** A network whose weights come through some door: frozen ones, or whatever a method makes of them. */
export interface OpenNetwork<Config> {
	readonly config: Config;
	readonly weights: { open(graph: Graph): Weights };
}

export function asTextEncoder({ config, weights }: OpenNetwork<ClipTextConfig>, tokenizer: Tokenizer): TextEncoder {
	return {
		tokenizer,
		width: config.hiddenSize,
		length: tokenizer.length,
		embed: (ids) => clipTokenEmbeddings(weights.open(ids.graph), config, ids),
		encode: (embeddings) => clipTextModel(weights.open(embeddings.graph), config, embeddings),
		positions: (graph) => clipPositionEmbeddings(weights.open(graph), config, tokenizer.length),
	};
}

export function asDenoiser({ config, weights }: OpenNetwork<UNetConfig>): Denoiser {
	return {
		latentChannels: config.inChannels,
		contextWidth: config.contextWidth,
		sizeMultiple: unetSizeMultiple(config),
		sampleSize: config.sampleSize,
		predict: (latents, timesteps, context, options) =>
			unet(weights.open(latents.graph), config, { latents, timesteps, context }, options),
	};
}

export function asAutoencoder({ config, weights }: OpenNetwork<AutoencoderConfig>): Autoencoder {
	return {
		factor: autoencoderFactor(config),
		latentChannels: config.latentChannels,
		scale: config.scalingFactor,
		encode: (pictures) => encodePictures(weights.open(pictures.graph), config, pictures),
		decode: (latents) => decodeLatents(weights.open(latents.graph), config, latents),
	};
}
