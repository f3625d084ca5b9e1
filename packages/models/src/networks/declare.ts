// Every weight of a network, from its configuration alone.
import { declaredWeights, type Graph, type Shape } from "@dreamdist/core";
import { autoencoderFactor, decodeLatents, encodePictures } from "./autoencoder.js";
import type { AutoencoderConfig } from "./autoencoder-config.js";
import { type ClipTextTower, clipTextFeatures } from "./clip.js";
import type { ClipConfig } from "./clip-config.js";
import { clipTextModel, clipTokenEmbeddings } from "./clip-text.js";
import type { ClipTextConfig } from "./clip-text-config.js";
import { clipVisionModel } from "./clip-vision.js";
import type { ClipVisionConfig } from "./clip-vision-config.js";
import { dinoVit } from "./dino-vit.js";
import { dinov2 } from "./dinov2.js";
import { INCEPTION_SIDE, inceptionV3 } from "./inception.js";
import { type LpipsNetwork, lpipsOfHalves } from "./lpips.js";
import { resnetClassifier } from "./resnet-classifier.js";
import type { ResnetClassifierConfig } from "./resnet-classifier-config.js";
import { unet, unetSizeMultiple } from "./unet.js";
import type { UNetConfig } from "./unet-config.js";
import type { VisionTransformerConfig } from "./vision-transformer-config.js";

/** Names (without `text_model.`) and shapes. */
export function textEncoderWeights(config: ClipTextConfig): Map<string, Shape> {
	return declaredWeights((graph, weights) =>
		clipTextModel(weights, config, clipTokenEmbeddings(weights, config, graph.input("ids", [1, 1], "i32"))),
	);
}

export function unetWeights(config: UNetConfig): Map<string, Shape> {
	const side = unetSizeMultiple(config);
	return declaredWeights((graph, weights) =>
		unet(weights, config, {
			latents: graph.input("latents", [1, side, side, config.inChannels]),
			timesteps: graph.input("timesteps", [1]),
			context: graph.input("context", [1, 1, config.contextWidth]),
		}),
	);
}

/** Encoder and decoder, under the attention's present names. */
export function autoencoderWeights(config: AutoencoderConfig): Map<string, Shape> {
	const side = autoencoderFactor(config);
	return declaredWeights((graph, weights) => {
		const { mean } = encodePictures(weights, config, graph.input("pictures", [1, side, side, config.inChannels]));
		return decodeLatents(weights, config, mean);
	});
}

/** With its projection. */
export function imageEncoderWeights(config: ClipVisionConfig): Map<string, Shape> {
	return declaredWeights((graph, weights) =>
		clipVisionModel(weights, config, graph.input("pictures", [1, config.imageSize, config.imageSize, 3])),
	);
}

/** Running statistics of batch norms included. */
export function classifierWeights(config: ResnetClassifierConfig): Map<string, Shape> {
	return declaredWeights((graph, weights) =>
		resnetClassifier(weights, config, graph.input("pictures", [1, 64, 64, 3])),
	);
}

/** Both towers, their projections and the logits' scale. */
export function clipWeights(config: ClipConfig): Map<string, Shape> {
	return declaredWeights((graph, weights) => {
		const { imageSize } = config.vision;
		clipVisionModel(weights, config.vision, graph.input("pictures", [1, imageSize, imageSize, 3]));
		clipTextFeatures(weights, config, graph.input("ids", [1, 1], "i32"), graph.input("ends", [1], "i32"));
		weights.get("logit_scale", []);
	});
}

/** The text tower alone, with its projection. */
export function textTowerWeights(config: ClipTextTower): Map<string, Shape> {
	return declaredWeights((graph, weights) =>
		clipTextFeatures(weights, config, graph.input("ids", [1, 1], "i32"), graph.input("ends", [1], "i32")),
	);
}

export function dinoWeights(config: VisionTransformerConfig): Map<string, Shape> {
	return declaredWeights((graph, weights) => dinoVit(weights, config, trainingPictures(graph, config)));
}

export function dinov2Weights(config: VisionTransformerConfig): Map<string, Shape> {
	return declaredWeights((graph, weights) => dinov2(weights, config, trainingPictures(graph, config)));
}

const trainingPictures = (graph: Graph, { imageSize }: VisionTransformerConfig) =>
	graph.input("pictures", [1, imageSize, imageSize, 3]);

/** With batch norms, as they are stored. */
export function inceptionWeights(): Map<string, Shape> {
	return declaredWeights((graph, weights) =>
		inceptionV3(weights, graph.input("pictures", [1, INCEPTION_SIDE, INCEPTION_SIDE, 3])),
	);
}

/** The classifier's convolutions and LPIPS' own mixing weights. */
export function lpipsWeights(network: LpipsNetwork): Map<string, Shape> {
	return declaredWeights((graph, weights) => lpipsOfHalves(weights, network, graph.input("pictures", [2, 64, 64, 3])));
}
