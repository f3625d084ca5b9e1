export { autoencoderFactor, decodeLatents, encodePictures, type LatentMoments } from "./autoencoder.js";
export { type AutoencoderConfig, readAutoencoderConfig } from "./autoencoder-config.js";
export { type ClipTextFeatures, type ClipTextTower, clipTextFeatures, endRows } from "./clip.js";
export { type ClipConfig, readClipConfig } from "./clip-config.js";
export { type ClipTextOptions, clipTextModel, clipTokenEmbeddings } from "./clip-text.js";
export { type ClipTextConfig, readClipTextConfig } from "./clip-text-config.js";
export { type ClipVisionFeatures, clipVisionModel } from "./clip-vision.js";
export { type ClipVisionConfig, readClipVisionConfig } from "./clip-vision-config.js";
export {
	autoencoderWeights,
	classifierWeights,
	clipWeights,
	dinov2Weights,
	dinoWeights,
	imageEncoderWeights,
	inceptionWeights,
	lpipsWeights,
	textEncoderWeights,
	unetWeights,
} from "./declare.js";
export { dinoVit } from "./dino-vit.js";
export { dinov2 } from "./dinov2.js";
export { INCEPTION_SIDE, type InceptionFeatures, inceptionV3 } from "./inception.js";
export { type LpipsNetwork, lpipsDistances, lpipsFeatures, lpipsOfHalves } from "./lpips.js";
export type { PositionResampling, VisionTransformerFeatures, VisionTransformerOptions } from "./patch-tokens.js";
export { type ResnetClassifierResult, resnetClassifier } from "./resnet-classifier.js";
export { type ResnetClassifierConfig, readResnetClassifierConfig } from "./resnet-classifier-config.js";
export { type UNetInputs, unet, unetSizeMultiple } from "./unet.js";
export { readUNetConfig, type UNetAttention, type UNetBlock, type UNetConfig } from "./unet-config.js";
export { readDinoConfig, readDinov2Config, type VisionTransformerConfig } from "./vision-transformer-config.js";
