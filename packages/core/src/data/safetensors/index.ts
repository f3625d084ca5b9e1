export {
	bytesPerElement,
	isSafetensorsDtype,
	SAFETENSORS_DTYPES,
	type SafetensorsDtype,
	tensorBytes,
} from "./dtype.js";
export type { TensorEntry } from "./header.js";
export { openSafetensors, SafetensorsFile } from "./reader.js";
export { type OpenWeightsOptions, openSafetensorsIndex, openWeights } from "./weights.js";
export { type TensorData, type WriteSafetensorsOptions, writeSafetensors } from "./writer.js";
