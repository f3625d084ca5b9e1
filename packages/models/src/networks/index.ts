export { autoencoderFactor, decodeLatents, encodePictures, type LatentMoments } from "./autoencoder.js";
export { type AutoencoderConfig, readAutoencoderConfig } from "./autoencoder-config.js";
export { type ClipTextOptions, clipTextModel, clipTokenEmbeddings } from "./clip-text.js";
export { type ClipTextConfig, readClipTextConfig } from "./clip-text-config.js";
export { autoencoderWeights, textEncoderWeights, unetWeights } from "./declare.js";
export { type UNetInputs, unet, unetSizeMultiple } from "./unet.js";
export { readUNetConfig, type UNetAttention, type UNetBlock, type UNetConfig } from "./unet-config.js";
