export { writeByteLevelTokenizer } from "./byte-level-tokenizer.js";
export { type BytePairs, trainBytePairs, writeBytePairTokenizer } from "./byte-pair-training.js";
export { loadTokenizer, type TokenizerOptions } from "./clip-tokenizer.js";
