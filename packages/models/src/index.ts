// @dreamdist/models: Stable Diffusion's networks, tokenizers and checkpoint loading.
export * from "./hub/index.js";
export { AUTOENCODER, type Component, type ComponentKind, TEXT_ENCODER, UNET } from "./loading/components.js";
export type { ModelFiles, OpenModelOptions } from "./loading/model-files.js";
export * from "./networks/index.js";
export { type LoadEvent, type LoadPipelineOptions, loadPipeline, openModel } from "./pipeline/load-pipeline.js";
export { type CallOptions, type Numbers, Pipeline } from "./pipeline/pipeline.js";
export { ProgramCache } from "./pipeline/program-cache.js";
export * from "./tokenizer/index.js";
export { formulaWeights } from "./weights/formula.js";
