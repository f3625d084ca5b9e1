export { type FileContents, writeFileAtomic, writeFully } from "./atomic.js";
export * from "./half.js";
