// The public encoders that metrics are defined with, each with the way its pictures are brought to it.
import type { Device, ImageU8 } from "@dreamdist/core";
import {
	CLIP,
	type ComponentKind,
	clipVisionModel,
	DINO,
	DINOV2,
	dinoVit,
	dinov2,
	type FidPreprocessing,
	fidPixels,
	INCEPTION,
	INCEPTION_SIDE,
	inceptionV3,
	loadEncoder,
	type VisionTransformerConfig,
} from "@dreamdist/models";
import { PictureEncoder } from "./picture-encoder.js";
import { CLIP_NORMALISATION, IMAGENET_NORMALISATION, normalise, shorterSideThenCrop, toSquare } from "./prepare.js";

/** InceptionV3's 2048 features: FID and KID. */
export async function openInception(device: Device, path: string, how: FidPreprocessing): Promise<PictureEncoder> {
	const files = await loadEncoder(INCEPTION, path);
	const { weights } = files.component;
	return PictureEncoder.open(device, {
		name: `InceptionV3, ${how}`,
		side: INCEPTION_SIDE,
		prepare: (image) => fidPixels(image, how),
		write: (graph, pictures) => inceptionV3(weights.open(graph), pictures).features,
		weights,
		files,
	});
}

/**
 * CLIP's projected image embeddings.
 *
 * @param how "crop": the shorter side to the encoder's, then the middle square (CLIP-I, CLIP-T); "square": both sides to it (CMMD)
 */
export async function openClip(
	device: Device,
	path: string,
	name: string,
	how: "crop" | "square",
): Promise<PictureEncoder> {
	const files = await loadEncoder(CLIP, path);
	const { config, weights } = files.component;
	const side = config.vision.imageSize;
	const framed = (image: ImageU8) => (how === "crop" ? shorterSideThenCrop(image, side, side) : toSquare(image, side));
	return PictureEncoder.open(device, {
		name: how === "crop" ? name : `${name}, both sides resized`,
		side,
		prepare: (image) => normalise(framed(image), CLIP_NORMALISATION),
		write: (graph, pictures) => clipVisionModel(weights.open(graph), config.vision, pictures).embeddings,
		weights,
		files,
	});
}

const SIDE = 224;
/** DINO's evaluation resizes the shorter side to this before it takes the middle. */
const BEFORE_CROP = 256;

/** DINO ViT-S/16's class token, 384 features. */
export const openDino = (device: Device, path: string): Promise<PictureEncoder> =>
	openTransformer(device, DINO, path, "DINO ViT-S/16", (image) => shorterSideThenCrop(image, BEFORE_CROP, SIDE));

/** DINOv2's class token, pictures resized to 224×224 as in the study that proposed its distances (Stein et al. 2023). */
export const openDinov2 = (device: Device, path: string, name: string): Promise<PictureEncoder> =>
	openTransformer(device, DINOV2, path, name, (image) => toSquare(image, SIDE));

async function openTransformer(
	device: Device,
	kind: ComponentKind<VisionTransformerConfig>,
	path: string,
	name: string,
	frame: (image: ImageU8) => ImageU8,
): Promise<PictureEncoder> {
	const files = await loadEncoder(kind, path);
	const { config, weights } = files.component;
	const network = kind === DINO ? dinoVit : dinov2;
	return PictureEncoder.open(device, {
		name,
		side: SIDE,
		prepare: (image) => normalise(frame(image), IMAGENET_NORMALISATION),
		write: (graph, pictures) => network(weights.open(graph), config, pictures).cls,
		weights,
		files,
	});
}
