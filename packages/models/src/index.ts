export * from "./hub/index.js";
export * from "./tokenizer/index.js";
