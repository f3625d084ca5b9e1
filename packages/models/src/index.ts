// @dreamdist/models: Stable Diffusion's networks, tokenizers and checkpoint loading.
export * from "./augment/index.js";
export {
	EMBEDDED_MODEL,
	EmbeddedModelError,
	embeddedFolder,
	findModel,
	missingFromEmbedded,
} from "./embedded/embedded-model.js";
export { lossCurves, modelCard, readStageHistory, type StageHistory } from "./embedded/model-card.js";
export { FID_PREPROCESSINGS, type FidPreprocessing, fidPixels } from "./encoders/fid-pixels.js";
export { type LoadedEncoder, loadEncoder } from "./encoders/load-encoder.js";
export {
	encoderPullName,
	findEncoder,
	isPublicEncoder,
	PUBLIC_ENCODERS,
	type PublicEncoder,
	pullEncoder,
} from "./encoders/sources.js";
export * from "./finetune/index.js";
export * from "./hub/index.js";
export { INIT_CONFIGS, type InitEvent, type InitModelOptions, initModel } from "./init/init-model.js";
export { AUTOENCODER, type Component, type ComponentKind, TEXT_ENCODER, UNET } from "./loading/components.js";
export type { DefaultConfigName } from "./loading/default-configs.js";
export { CLASSIFIER, CLIP, DINO, DINOV2, IMAGE_TOWER, INCEPTION, LPIPS, TEXT_TOWER } from "./loading/encoder-kinds.js";
export type { ModelFiles, OpenModelOptions } from "./loading/model-files.js";
export * from "./networks/index.js";
export { type LoadEvent, type LoadPipelineOptions, loadPipeline, openModel } from "./pipeline/load-pipeline.js";
export { type CallOptions, type Numbers, Pipeline } from "./pipeline/pipeline.js";
export { ProgramCache } from "./pipeline/program-cache.js";
export * from "./pretrain/index.js";
export * from "./tokenizer/index.js";
export { verifyBuiltIn } from "./verify/built-in.js";
export { type CaseKind, type CaseTensor, VerifyCase, VerifyRunner } from "./verify/case.js";
export { type CaseResult, type Comparison, relativeError, type VerifyReport } from "./verify/report.js";
export { MODEL_CASE_KINDS, type VerifyOptions, verifySet } from "./verify/verify-set.js";
export { formulaWeights, hashedNumber, hashedWeights } from "./weights/formula.js";
