export { TorchStorage, TorchTensor } from "./tensor.js";
export { openTorch, type TorchEntry, TorchFile } from "./torch-file.js";
export { TensorToSave, type ValueToSave, writeTorch } from "./torch-writer.js";
