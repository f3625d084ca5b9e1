// The encoders that pictures are judged with, each with its configuration and all of its weights accounted for.
import { FormatError, type FrozenTensor } from "@dreamdist/core";
import type { ClipTextTower } from "../networks/clip.js";
import { type ClipConfig, readClipConfig } from "../networks/clip-config.js";
import { readClipTextConfig } from "../networks/clip-text-config.js";
import { type ClipVisionConfig, readClipVisionConfig } from "../networks/clip-vision-config.js";
import { count } from "../networks/config.js";
import {
	classifierWeights,
	clipWeights,
	dinov2Weights,
	dinoWeights,
	imageEncoderWeights,
	inceptionWeights,
	lpipsWeights,
	textTowerWeights,
} from "../networks/declare.js";
import type { LpipsNetwork } from "../networks/lpips.js";
import { type ResnetClassifierConfig, readResnetClassifierConfig } from "../networks/resnet-classifier-config.js";
import {
	readDinoConfig,
	readDinov2Config,
	type VisionTransformerConfig,
} from "../networks/vision-transformer-config.js";
import type { ComponentKind } from "./components.js";
import { clipTensors, dinoTensors, dinov2Tensors, lpipsTensors } from "./encoder-names.js";

const asTheyAre = (tensors: ReadonlyMap<string, FrozenTensor>) => new Map(tensors);

export const CLIP: ComponentKind<ClipConfig> = {
	folder: "clip",
	className: "CLIPModel",
	readConfig: readClipConfig,
	declare: clipWeights,
	rename: clipTensors,
};

export const DINO: ComponentKind<VisionTransformerConfig> = {
	folder: "dino",
	className: "ViTModel",
	readConfig: readDinoConfig,
	declare: dinoWeights,
	rename: dinoTensors,
};

export const DINOV2: ComponentKind<VisionTransformerConfig> = {
	folder: "dinov2",
	className: "Dinov2Model",
	readConfig: readDinov2Config,
	declare: dinov2Weights,
	rename: dinov2Tensors,
};

/** It has no configuration. */
export const INCEPTION: ComponentKind<null> = {
	folder: "inception",
	className: "InceptionV3",
	readConfig: () => null,
	declare: inceptionWeights,
	rename: asTheyAre,
};

export const LPIPS: ComponentKind<LpipsNetwork> = {
	folder: "lpips",
	className: "LPIPS",
	readConfig: (json, source) => {
		const net: unknown = (json as { net?: unknown } | null)?.net;
		if (net === "alex" || net === "vgg") return net;
		throw new FormatError("BAD_CONFIG", source, `${source}: "net" is ${JSON.stringify(net)}; supported: alex, vgg.`);
	},
	declare: lpipsWeights,
	rename: lpipsTensors,
};

/** The image tower that full training puts beside a model's networks. */
export const IMAGE_TOWER: ComponentKind<ClipVisionConfig> = {
	folder: "image_encoder",
	className: "CLIPVisionModelWithProjection",
	readConfig: readClipVisionConfig,
	declare: imageEncoderWeights,
	rename: asTheyAre,
};

/** A model's text encoder with the projection that it was trained with. */
export const TEXT_TOWER: ComponentKind<ClipTextTower> = {
	folder: "text_encoder",
	className: "CLIPTextModelWithProjection",
	readConfig: (json, source) => {
		const { projection_dim } = json as { projection_dim?: unknown };
		return { text: readClipTextConfig(json, source), projectionSize: count.default(512).parse(projection_dim) };
	},
	declare: textTowerWeights,
	rename: asTheyAre,
};

export const CLASSIFIER: ComponentKind<ResnetClassifierConfig> = {
	folder: "classifier",
	className: "ResNet",
	readConfig: readResnetClassifierConfig,
	declare: classifierWeights,
	rename: asTheyAre,
};
