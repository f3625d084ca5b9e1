import type { FileHandle } from "node:fs/promises";
import { DreamdistError } from "../../errors.js";
import { openRegularFile, readFully } from "../file-system.js";
import { decodeBf16, decodeF16 } from "../half.js";
import { bytesPerElement, type SafetensorsDtype } from "./dtype.js";
import { headerLength, LENGTH_FIELD, parseHeader, quote, type TensorEntry } from "./header.js";

/** Tensors are converted in pieces of this many elements, so that the source is never held whole beside the result. */
const PIECE = 2 ** 20;

/** An open file and what its header says; what a shard contributes to a set. */
export interface OpenSafetensors {
	readonly path: string;
	readonly handle: FileHandle;
	readonly tensors: ReadonlyMap<string, TensorEntry>;
	readonly metadata: ReadonlyMap<string, string>;
}

/**
 * One safetensors file, or the shards of one model, read as one set of tensors. Only the headers are in memory; each read
 * fetches one tensor from its position in its file, and reads may run at the same time. Close it when done.
 */
export class SafetensorsFile {
	/** The files that hold the tensors. */
	readonly paths: readonly string[];
	/** Every tensor by its name: dtype, shape, and the place (path, byteOffset, byteLength) of its data. */
	readonly tensors: ReadonlyMap<string, TensorEntry>;
	/** Free text pairs: of the header, or of the index for shards. */
	readonly metadata: ReadonlyMap<string, string>;
	/** What `open…` was given, for errors. */
	readonly #source: string;
	readonly #handles: Map<string, FileHandle>;
	#closed = false;

	constructor(
		source: string,
		files: readonly OpenSafetensors[],
		tensors: ReadonlyMap<string, TensorEntry>,
		metadata: ReadonlyMap<string, string>,
	) {
		this.#source = source;
		this.#handles = new Map(files.map((file) => [file.path, file.handle]));
		this.paths = files.map((file) => file.path);
		this.tensors = tensors;
		this.metadata = metadata;
	}

	/**
	 * The place and form of a tensor.
	 *
	 * @throws DreamdistError `TENSOR_NOT_FOUND` naming the file
	 */
	entry(name: string): TensorEntry {
		const entry = this.tensors.get(name);
		if (entry === undefined) {
			const some = [...this.tensors.keys()].slice(0, 3).map(quote).join(", ");
			const has = this.tensors.size === 0 ? "it is empty" : `it has ${this.tensors.size}, such as ${some}`;
			throw new DreamdistError("TENSOR_NOT_FOUND", `${this.#source} has no tensor ${quote(name)}; ${has}`);
		}
		return entry;
	}

	/** The bytes of a tensor as stored: row-major, little-endian. The buffer is new and starts at offset 0. */
	async read(name: string): Promise<Uint8Array<ArrayBuffer>> {
		const entry = this.entry(name);
		const bytes = allocate(entry, entry.byteLength, (length) => new Uint8Array(length));
		await readFully(this.#handle(entry), bytes, entry.byteOffset, entry.path);
		return bytes;
	}

	/** A tensor of F16, BF16, F32 or F64 as float32, row-major. Only F64 loses digits, rounded to nearest even. */
	async readF32(name: string): Promise<Float32Array<ArrayBuffer>> {
		const entry = this.entry(name);
		const decode = FLOAT_DECODERS[entry.dtype];
		if (decode === undefined && entry.dtype !== "F32") throw wrongDtype(entry, "floating-point numbers");
		const out = allocate(entry, elements(entry), (length) => new Float32Array(length));
		if (decode === undefined) {
			await readFully(this.#handle(entry), new Uint8Array(out.buffer), entry.byteOffset, entry.path);
		} else {
			await this.#pieces(entry, (piece, start, count) => decode(piece, out.subarray(start, start + count)));
		}
		return out;
	}

	/** A tensor of any integer type or BOOL as int32, row-major; a value outside int32 is an error that names it. */
	async readI32(name: string): Promise<Int32Array<ArrayBuffer>> {
		const entry = this.entry(name);
		const view = INTEGER_VIEWS[entry.dtype];
		if (view === undefined) throw wrongDtype(entry, "whole numbers");
		const out = allocate(entry, elements(entry), (length) => new Int32Array(length));
		await this.#pieces(entry, (piece, start, count) => {
			const values = view(piece, count);
			for (let i = 0; i < count; i++) {
				const value = Number(values[i]!);
				if ((value | 0) !== value) {
					throw new DreamdistError(
						"TENSOR_RANGE",
						`tensor ${quote(entry.name)} of ${entry.path} holds ${values[i]}, which does not fit 32 bits; read it with readI64`,
					);
				}
				out[start + i] = value;
			}
		});
		return out;
	}

	/** A tensor of any integer type or BOOL as int64, row-major; U64 values from 2^63 on wrap around. */
	async readI64(name: string): Promise<BigInt64Array<ArrayBuffer>> {
		const entry = this.entry(name);
		const view = INTEGER_VIEWS[entry.dtype];
		if (view === undefined) throw wrongDtype(entry, "whole numbers");
		const out = allocate(entry, elements(entry), (length) => new BigInt64Array(length));
		await this.#pieces(entry, (piece, start, count) => {
			const values = view(piece, count);
			for (let i = 0; i < count; i++) out[start + i] = BigInt(values[i]!);
		});
		return out;
	}

	/** Closes the files, once reads under way are done. Closing twice is allowed; reading afterwards is an error. */
	async close(): Promise<void> {
		this.#closed = true;
		const handles = [...this.#handles.values()];
		this.#handles.clear();
		await Promise.all(handles.map((handle) => handle.close()));
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.close();
	}

	#handle(entry: TensorEntry): FileHandle {
		const handle = this.#handles.get(entry.path);
		if (this.#closed || handle === undefined) {
			throw new DreamdistError("DISPOSED", `${this.#source} was closed before tensor ${quote(entry.name)} was read`);
		}
		return handle;
	}

	/** Passes a tensor to `use` piece by piece, in order: a reused buffer, the index of its first element, their count. */
	async #pieces(entry: TensorEntry, use: (piece: ArrayBuffer, start: number, count: number) => void): Promise<void> {
		const handle = this.#handle(entry);
		const width = bytesPerElement(entry.dtype);
		const total = elements(entry);
		const piece = new ArrayBuffer(Math.min(PIECE, total) * width);
		for (let start = 0; start < total; start += PIECE) {
			const count = Math.min(PIECE, total - start);
			const bytes = new Uint8Array(piece, 0, count * width);
			await readFully(handle, bytes, entry.byteOffset + start * width, entry.path);
			use(piece, start, count);
		}
	}
}

/**
 * Opens one safetensors file and checks its header.
 *
 * @throws FileError when it cannot be read, FormatError when it is not what it should be; each names the file
 */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
	const file = await openHeader(path);
	return new SafetensorsFile(path, [file], file.tensors, file.metadata);
}

/** Opens a file, reads and checks its header, and leaves the handle open for the caller. */
export async function openHeader(path: string): Promise<OpenSafetensors> {
	const { handle, size } = await openRegularFile(path);
	try {
		const field = new Uint8Array(Math.min(LENGTH_FIELD, size));
		await readFully(handle, field, 0, path);
		const json = new Uint8Array(headerLength(field, size, path));
		await readFully(handle, json, LENGTH_FIELD, path);
		return { path, handle, ...parseHeader(json, size, path) };
	} catch (error) {
		await handle.close();
		throw error;
	}
}

const FLOAT_DECODERS: Partial<Record<SafetensorsDtype, (piece: ArrayBuffer, out: Float32Array) => void>> = {
	F16: (piece, out) => decodeF16(new Uint16Array(piece, 0, out.length), out),
	BF16: (piece, out) => decodeBf16(new Uint16Array(piece, 0, out.length), out),
	F64: (piece, out) => out.set(new Float64Array(piece, 0, out.length)),
};

type Integers = ArrayLike<number> | ArrayLike<bigint>;

const INTEGER_VIEWS: Partial<Record<SafetensorsDtype, (piece: ArrayBuffer, count: number) => Integers>> = {
	BOOL: (piece, count) => new Uint8Array(piece, 0, count),
	U8: (piece, count) => new Uint8Array(piece, 0, count),
	I8: (piece, count) => new Int8Array(piece, 0, count),
	U16: (piece, count) => new Uint16Array(piece, 0, count),
	I16: (piece, count) => new Int16Array(piece, 0, count),
	U32: (piece, count) => new Uint32Array(piece, 0, count),
	I32: (piece, count) => new Int32Array(piece, 0, count),
	U64: (piece, count) => new BigUint64Array(piece, 0, count),
	I64: (piece, count) => new BigInt64Array(piece, 0, count),
};

function elements(entry: TensorEntry): number {
	return entry.byteLength / bytesPerElement(entry.dtype);
}

function allocate<T>(entry: TensorEntry, length: number, make: (length: number) => T): T {
	try {
		return make(length);
	} catch (error) {
		throw new DreamdistError(
			"TENSOR_TOO_LARGE",
			`tensor ${quote(entry.name)} of ${entry.path} has ${entry.byteLength} bytes, more than one JavaScript array can hold here`,
			{ cause: error },
		);
	}
}

function wrongDtype(entry: TensorEntry, wanted: string): DreamdistError {
	return new DreamdistError(
		"TENSOR_DTYPE",
		`tensor ${quote(entry.name)} of ${entry.path} is ${entry.dtype}, which cannot be read as ${wanted}`,
	);
}
