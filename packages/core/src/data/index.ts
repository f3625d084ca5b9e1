export { type FileContents, writeFileAtomic, writeFully } from "./atomic.js";
export * from "./half.js";
export * from "./image/index.js";
export * from "./safetensors/index.js";
