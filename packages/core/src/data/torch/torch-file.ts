// Files of torch.save: tensors out of zip archives and of the stream that came before them. Nothing in them is ever executed.
import type { FileHandle } from "node:fs/promises";
import { DreamdistError, FormatError } from "../../errors.js";
import { ZipArchive, type ZipMember } from "../archive/zip-reader.js";
import { openRegularFile, readFully } from "../file-system.js";
import { PickleEndError, PickleError } from "../pickle/byte-reader.js";
import { readPickle } from "../pickle/machine.js";
import { PickleObject, PickleTuple, type PickleValue } from "../pickle/values.js";
import { bytesPerElement } from "../safetensors/dtype.js";
import { quote, type TensorEntry } from "../safetensors/header.js";
import { SafetensorsFile } from "../safetensors/reader.js";
import { TorchReader } from "./names.js";
import { gatherStrided, type TorchStorage, TorchTensor } from "./tensor.js";

/** A checkpoint's pickle names its tensors and says where they lie: megabytes, for the largest models. */
const MAX_PICKLE = 256 * 2 ** 20;
/** The beginning of an old file is read in steps of this factor until its pickles are whole. */
const FIRST_WINDOW = 2 ** 18;
const WINDOW_GROWTH = 16;
/** A tensor that repeats elements may be larger than its storage, but not without bounds. */
const MAX_REPEATED = 2 ** 24;
const MAX_COMPRESSED = 2 ** 31;
/** Values that are looked at in search of tensors. */
const MAX_VALUES = 5_000_000;
const MAX_DEPTH = 100;

/** Where the bytes of a storage are. */
type StoragePlace =
	| { readonly kind: "plain"; readonly byteOffset: number; readonly byteLength: number }
	| { readonly kind: "member"; readonly member: ZipMember };

/** A tensor of a file. */
export interface TorchEntry {
	readonly name: string;
	readonly tensor: TorchTensor;
	readonly shape: readonly number[];
	readonly dtype: TorchTensor["dtype"];
	/** Where its bytes lie in the file as they are, so that they can be mapped; null where they are strided or compressed. */
	readonly place: TensorEntry | null;
}

interface Source {
	readonly path: string;
	readonly value: PickleValue;
	readonly handle: FileHandle;
	readonly archive: ZipArchive | null;
	readonly places: ReadonlyMap<string, StoragePlace>;
}

/** An open file of torch.save. Each read fetches one tensor. Close it when done. */
export class TorchFile {
	/** Every tensor by its path: keys and list indices joined by ".". */
	readonly tensors: ReadonlyMap<string, TorchEntry>;
	readonly path: string;
	/** What was saved, with tensors as `TorchTensor`. */
	readonly value: PickleValue;
	private readonly plain: SafetensorsFile;

	/** Made by `openTorch`. */
	constructor(private readonly source: Source) {
		this.path = source.path;
		this.value = source.value;
		this.tensors = new Map(
			[...namedTensors(source.value, source.path)].map(([name, tensor]) => [name, this.entryOf(name, tensor)]),
		);
		const placed = [...this.tensors.values()].flatMap(({ name, place }): [string, TensorEntry][] =>
			place ? [[name, place]] : [],
		);
		// Tensors that lie in the file as they are can be read as those of a safetensors file are.
		const { path, handle } = source;
		this.plain = new SafetensorsFile(
			path,
			[{ path, handle, tensors: new Map(), metadata: new Map() }],
			new Map(placed),
			new Map(),
		);
	}

	/** @throws DreamdistError `TENSOR_NOT_FOUND` naming the file */
	entry(name: string): TorchEntry {
		const entry = this.tensors.get(name);
		if (entry) return entry;
		const some = [...this.tensors.keys()].slice(0, 3).map(quote).join(", ");
		const has = this.tensors.size === 0 ? "it holds no tensors" : `it has ${this.tensors.size}, such as ${some}`;
		throw new DreamdistError("TENSOR_NOT_FOUND", `${this.path} has no tensor ${quote(name)}; ${has}`);
	}

	/** A tensor's bytes, row-major, little-endian. */
	async read(name: string): Promise<Uint8Array<ArrayBuffer>> {
		const { tensor, place } = this.entry(name);
		return place ? this.plain.read(name) : this.gathered(name, tensor);
	}

	/** A tensor of floating-point numbers as float32, row-major; only F64 loses digits. */
	async readF32(name: string): Promise<Float32Array<ArrayBuffer>> {
		return (await this.readable(name)).readF32(name);
	}

	/** A tensor of any integer type or BOOL as int32, row-major; a value outside int32 is an error that names it. */
	async readI32(name: string): Promise<Int32Array<ArrayBuffer>> {
		return (await this.readable(name)).readI32(name);
	}

	/** A tensor of any integer type or BOOL as int64, row-major. */
	async readI64(name: string): Promise<BigInt64Array<ArrayBuffer>> {
		return (await this.readable(name)).readI64(name);
	}

	async close(): Promise<void> {
		await this.plain.close();
		await this.source.archive?.close();
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.close();
	}

	/** The file itself, or the gathered bytes of one tensor in its place. */
	private async readable(name: string): Promise<SafetensorsFile> {
		const { tensor, place } = this.entry(name);
		if (place) return this.plain;
		const bytes = await this.gathered(name, tensor);
		return bytesAsFile(this.path, name, tensor, bytes);
	}

	private entryOf(name: string, tensor: TorchTensor): TorchEntry {
		const { dtype, shape, storage, offset, count } = tensor;
		const { path, places } = this.source;
		const found = places.get(storage.key);
		const width = bytesPerElement(dtype);
		const place =
			found?.kind === "plain" && tensor.isContiguous
				? { name, dtype, shape, path, byteOffset: found.byteOffset + offset * width, byteLength: count * width }
				: null;
		return { name, tensor, shape, dtype, place };
	}

	private async gathered(name: string, tensor: TorchTensor): Promise<Uint8Array<ArrayBuffer>> {
		const { storage, offset, span, count, dtype } = tensor;
		const { path, places, handle, archive } = this.source;
		const width = bytesPerElement(dtype);
		if (count > Math.max(span, MAX_REPEATED))
			throw bad(path, `tensor ${quote(name)} repeats ${span} elements ${count} times over`);
		const place = places.get(storage.key);
		let source: Uint8Array;
		if (place?.kind === "plain") {
			source = new Uint8Array(span * width);
			await readFully(handle, source, place.byteOffset + offset * width, path);
		} else if (place && archive) {
			const bytes = await archive.read(place.member, MAX_COMPRESSED);
			source = bytes.subarray(offset * width);
		} else throw bad(path, `tensor ${quote(name)} lies in the storage ${quote(storage.key)}, which is not there`);
		const out = new Uint8Array(count * width);
		gatherStrided(source, tensor, out);
		return out;
	}
}

/** One tensor's bytes, read like a file's. */
function bytesAsFile(path: string, name: string, { dtype, shape }: TorchTensor, bytes: Uint8Array): SafetensorsFile {
	const read: Pick<FileHandle, "read" | "close"> = {
		read: (async (target: Uint8Array, at: number, length: number, position: number) => {
			target.set(bytes.subarray(position, position + length), at);
			return { bytesRead: Math.min(length, bytes.length - position), buffer: target };
		}) as unknown as FileHandle["read"],
		close: async () => undefined,
	};
	const entry = { name, dtype, shape, path, byteOffset: 0, byteLength: bytes.length };
	const file = { path, handle: read as FileHandle, tensors: new Map(), metadata: new Map() };
	return new SafetensorsFile(path, [file], new Map([[name, entry]]), new Map());
}

/** Tensors in dicts, lists, tuples and objects' states, each container once. */
function namedTensors(root: PickleValue, path: string): Map<string, TorchTensor> {
	const found = new Map<string, TorchTensor>();
	const seen = new Set<PickleValue>();
	const waiting: { value: PickleValue; name: string; depth: number }[] = [{ value: root, name: "", depth: 0 }];
	let looked = 0;
	while (waiting.length > 0) {
		const { value, name, depth } = waiting.pop()!;
		if (++looked > MAX_VALUES) throw bad(path, "it holds millions of values");
		if (value instanceof TorchTensor) {
			if (!found.has(name)) found.set(name, value);
			continue;
		}
		if (typeof value !== "object" || value === null || value instanceof Uint8Array || seen.has(value)) continue;
		seen.add(value);
		if (depth > MAX_DEPTH) continue;
		const parts: [PickleValue, PickleValue][] =
			value instanceof Map
				? [...value]
				: Array.isArray(value)
					? value.map((item, i) => [i, item])
					: value instanceof PickleTuple
						? value.items.map((item, i) => [i, item])
						: value instanceof PickleObject
							? [["state", value.state]]
							: [];
		for (let i = parts.length - 1; i >= 0; i--) {
			const [key, item] = parts[i]!;
			if (typeof key !== "string" && typeof key !== "number" && typeof key !== "bigint") continue;
			waiting.push({ value: item, name: name === "" ? String(key) : `${name}.${key}`, depth: depth + 1 });
		}
	}
	return found;
}

/**
 * Opens a file of torch.save: `.pt`, `.pth`, `.bin`, `.ckpt`.
 *
 * @throws FileError when it can't be read; FormatError `BAD_TORCH` naming the file and, where it is refused, the name that it
 * holds
 */
export async function openTorch(path: string): Promise<TorchFile> {
	const { handle, size } = await openRegularFile(path);
	try {
		const start = new Uint8Array(Math.min(4, size));
		await readFully(handle, start, 0, path);
		if (start[0] === 0x50 && start[1] === 0x4b) return await openArchive(path, handle);
		return await openStream(path, handle, size);
	} catch (error) {
		await handle.close();
		if (error instanceof PickleError) throw bad(path, error.message);
		throw error;
	}
}

async function openArchive(path: string, handle: FileHandle): Promise<TorchFile> {
	const archive = await ZipArchive.open(path);
	try {
		const names = [...archive.members.keys()];
		const pickle = names.find((name) => /^[^/]+\/data\.pkl$/.test(name)) ?? names.find((name) => name === "data.pkl");
		if (pickle === undefined) throw bad(path, "it is a zip archive without a data.pkl");
		const folder = pickle.slice(0, -"data.pkl".length);
		if (names.some((name) => name.startsWith(`${folder}code/`)))
			throw bad(path, "it is a TorchScript program, not saved tensors");
		const order = archive.members.get(`${folder}byteorder`);
		if (order && new TextDecoder().decode(await archive.read(order, 16)).trim() === "big")
			throw bad(path, "it was saved on a big-endian machine");
		const reader = new TorchReader();
		const { value } = readPickle(await archive.read(archive.member(pickle), MAX_PICKLE), reader);
		const places = new Map<string, StoragePlace>();
		for (const storage of reader.storages.values()) {
			const member = archive.member(`${folder}data/${storage.key}`);
			if (member.size < storageBytes(storage))
				throw bad(
					path,
					`its storage ${quote(storage.key)} has ${member.size} bytes; ${storageBytes(storage)} are needed`,
				);
			const byteOffset = await archive.storedAt(member);
			places.set(
				storage.key,
				byteOffset === null || member.size !== member.compressedSize
					? { kind: "member", member }
					: { kind: "plain", byteOffset, byteLength: member.size },
			);
		}
		return new TorchFile({ path, value, handle, archive, places });
	} catch (error) {
		await archive.close();
		throw error;
	}
}

function storageBytes({ dtype, count }: TorchStorage): number {
	return count * (dtype ? bytesPerElement(dtype) : 1);
}

/** What old files begin with, as a pickled number. */
const MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL = 1001;

/** Before PyTorch 1.6: five pickles (magic, protocol, system, value, storage keys), then each storage as its length and bytes. */
async function openStream(path: string, handle: FileHandle, size: number): Promise<TorchFile> {
	for (let window = FIRST_WINDOW; ; window *= WINDOW_GROWTH) {
		const bytes = new Uint8Array(Math.min(size, window, MAX_PICKLE));
		await readFully(handle, bytes, 0, path);
		try {
			return await parseStream(path, handle, size, bytes);
		} catch (error) {
			const isWhole = bytes.length === size || window >= MAX_PICKLE;
			if (!(error instanceof PickleEndError) || isWhole) throw error;
		}
	}
}

async function parseStream(path: string, handle: FileHandle, size: number, bytes: Uint8Array): Promise<TorchFile> {
	const reader = new TorchReader();
	let at = 0;
	const next = () => {
		const { value, length } = readPickle(bytes.subarray(at), reader);
		at += length;
		return value;
	};
	if (bytes[0] !== 0x80) throw bad(path, "it is neither a zip archive nor a pickle");
	if (next() !== MAGIC) throw bad(path, "it is a pickle, but not one of torch.save");
	const protocol = next();
	if (protocol !== PROTOCOL) throw bad(path, `it has version ${String(protocol)} of the format; ${PROTOCOL} is read`);
	const system = next();
	if (system instanceof Map && system.get("little_endian") === false)
		throw bad(path, "it was saved on a big-endian machine");
	const value = next();
	const keys = next();
	if (!Array.isArray(keys)) throw bad(path, "it has no list of its storages");
	const places = new Map<string, StoragePlace>();
	for (const key of keys) {
		const storage = typeof key === "string" ? reader.storages.get(key) : undefined;
		if (typeof key !== "string" || !storage) throw bad(path, "it lists a storage that no tensor has");
		if (storage.dtype === null) throw bad(path, `its storage ${quote(key)} does not say what its elements are`);
		const field = new Uint8Array(8);
		if (at + 8 > size) throw bad(path, "it was cut off");
		await readFully(handle, field, at, path);
		const count = new DataView(field.buffer).getBigUint64(0, true);
		const byteLength = storageBytes(storage);
		if (count !== BigInt(storage.count) || at + 8 + byteLength > size)
			throw bad(
				path,
				`its storage ${quote(key)} has not the ${storage.count} elements it should; it may have been cut off`,
			);
		places.set(key, { kind: "plain", byteOffset: at + 8, byteLength });
		at += 8 + byteLength;
	}
	for (const key of reader.storages.keys())
		if (!places.has(key)) throw bad(path, `it does not hold its storage ${quote(key)}`);
	return new TorchFile({ path, value, handle, archive: null, places });
}

function bad(path: string, reason: string): FormatError {
	return new FormatError("BAD_TORCH", path, `${path} can't be read as a PyTorch file: ${reason}`);
}
