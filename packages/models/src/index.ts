// @dreamdist/models: Stable Diffusion's networks, tokenizers and checkpoint loading.
export * from "./hub/index.js";
export * from "./networks/index.js";
export * from "./tokenizer/index.js";
export { formulaWeights } from "./weights/formula.js";
