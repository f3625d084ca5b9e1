export { PickleEndError, PickleError } from "./byte-reader.js";
export { type PickleReader, readPickle } from "./machine.js";
export {
	PickleExtension,
	PickleGlobal,
	PickleObject,
	PickleTuple,
	type PickleValue,
	pickleKind,
} from "./values.js";
