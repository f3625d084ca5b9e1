export { type FileContents, writeFileAtomic, writeFully } from "./atomic.js";
export { fileError, makeFolders, readWholeFile } from "./file-system.js";
export * from "./half.js";
export * from "./image/index.js";
export { fromNdarray, type NdarrayData, toNdarray } from "./ndarray.js";
export * from "./numpy/index.js";
export * from "./safetensors/index.js";
export {
	openTorch,
	TensorToSave,
	type TorchEntry,
	TorchFile,
	TorchTensor,
	type ValueToSave,
	writeTorch,
} from "./torch/index.js";
