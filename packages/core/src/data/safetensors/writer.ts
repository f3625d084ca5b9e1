import { ArgumentError } from "../../errors.js";
import { writeFileAtomic, writeFully } from "../atomic.js";
import { bytesPerElement, isSafetensorsDtype, type SafetensorsDtype, tensorBytes } from "./dtype.js";
import { formatHeader, MAX_HEADER, quote } from "./header.js";

/** A tensor to store. */
export interface TensorData {
	readonly dtype: SafetensorsDtype;
	readonly shape: readonly number[];
	/**
	 * The elements, row-major and little-endian: a typed array that matches the dtype (F16 and BF16 as the bits in a
	 * Uint16Array) or the raw bytes in a Uint8Array. A function is called when the tensor's turn to be written comes, so
	 * that a large set never needs to be in memory at once.
	 */
	readonly data: ArrayBufferView | (() => ArrayBufferView | Promise<ArrayBufferView>);
}

/** What `writeSafetensors` takes besides tensors. */
export interface WriteSafetensorsOptions {
	/** Free text pairs for the header. */
	metadata?: Readonly<Record<string, string>> | ReadonlyMap<string, string>;
}

/**
 * Writes tensors as one safetensors file, whole or not at all (see `writeFileAtomic`). The same tensors give the same
 * bytes whatever their order: largest elements first, then by name.
 *
 * @throws ArgumentError naming a tensor whose data do not fit its dtype and shape; FileError when the disk refuses
 */
export async function writeSafetensors(
	path: string,
	tensors: Readonly<Record<string, TensorData>> | ReadonlyMap<string, TensorData>,
	options: WriteSafetensorsOptions = {},
): Promise<void> {
	const items = pairs(tensors)
		.map(([name, { dtype, shape, data }]) => ({ name, dtype, shape, data, byteLength: sizeOf(name, dtype, shape) }))
		.sort(storageOrder);
	for (const item of items) if (typeof item.data !== "function") checkData(item, item.data);
	const metadata = pairs(options.metadata ?? {});
	for (const [key, value] of metadata) {
		if (typeof value !== "string") throw new ArgumentError(`metadata ${quote(key)} must be text, not ${typeof value}`);
	}
	const header = formatHeader(items, metadata);
	if (header.byteLength > MAX_HEADER) {
		throw new ArgumentError(
			`the header of ${path} would have ${header.byteLength} bytes; the format allows ${MAX_HEADER}`,
		);
	}
	await writeFileAtomic(path, async (file) => {
		await writeFully(file, header);
		for (const item of items) {
			const data = typeof item.data === "function" ? await item.data() : item.data;
			checkData(item, data);
			await writeFully(file, data);
		}
	});
}

function pairs<T>(items: Readonly<Record<string, T>> | ReadonlyMap<string, T>): [string, T][] {
	return items instanceof Map ? [...items] : Object.entries(items);
}

/** Largest elements first, then by name: every tensor is then aligned to its own element size. */
function storageOrder(
	a: { name: string; dtype: SafetensorsDtype },
	b: { name: string; dtype: SafetensorsDtype },
): number {
	return bytesPerElement(b.dtype) - bytesPerElement(a.dtype) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
}

function sizeOf(name: string, dtype: SafetensorsDtype, shape: readonly number[]): number {
	if (name === "__metadata__")
		throw new ArgumentError('a tensor cannot be named "__metadata__"; the format keeps that name');
	if (!isSafetensorsDtype(dtype))
		throw new ArgumentError(`tensor ${quote(name)} has the unknown dtype ${quote(dtype)}`);
	const bytes = tensorBytes(dtype, shape);
	if (bytes === undefined) {
		throw new ArgumentError(
			`tensor ${quote(name)} has shape [${shape.join(", ")}], which is not a list of whole numbers`,
		);
	}
	return bytes;
}

/** The dtypes that the elements of a typed array can be; a Uint8Array can also be the raw bytes of any. */
const ELEMENTS: Record<string, readonly SafetensorsDtype[]> = {
	Int8Array: ["I8"],
	Uint16Array: ["U16", "F16", "BF16"],
	Int16Array: ["I16"],
	Uint32Array: ["U32"],
	Int32Array: ["I32"],
	Float16Array: ["F16"],
	Float32Array: ["F32", "C64"],
	Float64Array: ["F64"],
	BigUint64Array: ["U64"],
	BigInt64Array: ["I64"],
};

function checkData(
	item: { name: string; dtype: SafetensorsDtype; shape: readonly number[]; byteLength: number },
	data: ArrayBufferView,
): void {
	const form = `${item.dtype} [${item.shape.join(", ")}]`;
	const kind = Object.prototype.toString.call(data).slice("[object ".length, -1);
	const fits = ELEMENTS[kind];
	if (fits !== undefined && !fits.includes(item.dtype)) {
		throw new ArgumentError(`tensor ${quote(item.name)} is ${form} but its data are a ${kind}; convert them first`);
	}
	if (data.byteLength !== item.byteLength) {
		throw new ArgumentError(
			`tensor ${quote(item.name)} is ${form}, ${item.byteLength} bytes, but its data have ${data.byteLength} bytes`,
		);
	}
}
