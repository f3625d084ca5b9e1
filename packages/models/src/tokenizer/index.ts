export { writeByteLevelTokenizer } from "./byte-level-tokenizer.js";
export { loadTokenizer, type TokenizerOptions } from "./clip-tokenizer.js";
