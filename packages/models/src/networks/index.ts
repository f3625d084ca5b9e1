export { autoencoderFactor, decodeLatents, encodePictures, type LatentMoments } from "./autoencoder.js";
export { type AutoencoderConfig, readAutoencoderConfig } from "./autoencoder-config.js";
export { type ClipTextOptions, clipTextModel, clipTokenEmbeddings } from "./clip-text.js";
export { type ClipTextConfig, readClipTextConfig } from "./clip-text-config.js";
export { type ClipVisionFeatures, clipVisionModel } from "./clip-vision.js";
export { type ClipVisionConfig, readClipVisionConfig } from "./clip-vision-config.js";
export {
	autoencoderWeights,
	classifierWeights,
	imageEncoderWeights,
	textEncoderWeights,
	unetWeights,
} from "./declare.js";
export { type ResnetClassifierResult, resnetClassifier } from "./resnet-classifier.js";
export { type ResnetClassifierConfig, readResnetClassifierConfig } from "./resnet-classifier-config.js";
export { type UNetInputs, unet, unetSizeMultiple } from "./unet.js";
export { readUNetConfig, type UNetAttention, type UNetBlock, type UNetConfig } from "./unet-config.js";
