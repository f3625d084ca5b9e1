// A model folder's own measuring instruments: the classifier and the towers that full training writes beside the networks. They need no download.
import { join } from "node:path";
import type { Device } from "@dreamdist/core";
import { CLASSIFIER, clipVisionModel, IMAGE_TOWER, loadEncoder, resnetClassifier } from "@dreamdist/models";
import { PictureEncoder } from "./picture-encoder.js";
import { normalise, SYMMETRIC_NORMALISATION, toSquare } from "./prepare.js";

/** Features of a model's classifier: what Inception's are to large models. */
export async function openClassifier(device: Device, folder: string): Promise<PictureEncoder> {
	const files = await loadEncoder(CLASSIFIER, join(folder, CLASSIFIER.folder));
	const { config, weights } = files.component;
	const side = config.imageSize;
	return PictureEncoder.open(device, {
		name: "the model's classifier",
		side,
		prepare: (image) => normalise(toSquare(image, side), SYMMETRIC_NORMALISATION),
		write: (graph, pictures) => resnetClassifier(weights.open(graph), config, pictures).features,
		weights,
		files,
	});
}

/** Embeddings of a model's image tower: what CLIP's are to large models. */
export async function openImageTower(device: Device, folder: string): Promise<PictureEncoder> {
	const files = await loadEncoder(IMAGE_TOWER, join(folder, IMAGE_TOWER.folder));
	const { config, weights } = files.component;
	return PictureEncoder.open(device, {
		name: "the model's image encoder",
		side: config.imageSize,
		prepare: (image) => normalise(toSquare(image, config.imageSize), SYMMETRIC_NORMALISATION),
		write: (graph, pictures) => clipVisionModel(weights.open(graph), config, pictures).embeddings,
		weights,
		files,
	});
}
