// Pickles, archives and PyTorch files written byte by byte, after CPython's pickletools and PyTorch's serialization.py.
import { crc32, deflateRawSync } from "node:zlib";

/** Bytes of instructions: numbers are bytes, texts their Latin-1 characters. */
export function bytes(...parts: readonly (number | string | Uint8Array)[]): Buffer {
	return Buffer.concat(
		parts.map((part) =>
			typeof part === "number" ? Buffer.from([part]) : typeof part === "string" ? Buffer.from(part, "latin1") : part,
		),
	);
}

const u32 = (value: number): Buffer => {
	const out = Buffer.alloc(4);
	out.writeUInt32LE(value);
	return out;
};

export const pickled = {
	/** BINUNICODE */
	text: (value: string) => bytes("X", u32(Buffer.byteLength(value)), Buffer.from(value)),
	/** BININT */
	number: (value: number) => bytes("J", u32(value >>> 0)),
	/** GLOBAL */
	global: (module: string, name: string) => bytes("c", module, "\n", name, "\n"),
	tuple: (...items: readonly Uint8Array[]) => bytes("(", ...items, "t"),
	list: (...items: readonly Uint8Array[]) => bytes("](", ...items, "e"),
	dict: (...entries: readonly (readonly [Uint8Array, Uint8Array])[]) => bytes("}(", ...entries.flat(), "u"),
	/** REDUCE */
	call: (name: Uint8Array, ...args: readonly Uint8Array[]) => bytes(name, pickled.tuple(...args), "R"),
	file: (value: Uint8Array) => bytes(0x80, 2, value, "."),
};

export interface FixtureTensor {
	readonly storage: string;
	readonly key: string;
	readonly data: Uint8Array;
	/** Elements of the storage. */
	readonly count: number;
	readonly offset?: number;
	readonly shape: readonly number[];
	readonly strides: readonly number[];
}

export function tensorPickle(tensor: FixtureTensor, isOld = false): Buffer {
	const { storage, key, count, offset = 0, shape, strides } = tensor;
	const id = pickled.tuple(
		pickled.text("storage"),
		pickled.global("torch", storage),
		pickled.text(key),
		pickled.text("cpu"),
		pickled.number(count),
		...(isOld ? [bytes("N")] : []),
	);
	const sides = (list: readonly number[]) => pickled.tuple(...list.map(pickled.number));
	return pickled.call(
		pickled.global("torch._utils", "_rebuild_tensor_v2"),
		bytes(id, "Q"),
		pickled.number(offset),
		sides(shape),
		sides(strides),
		bytes(0x89),
		pickled.call(pickled.global("collections", "OrderedDict")),
	);
}

export interface FixtureMember {
	readonly name: string;
	readonly data: Uint8Array;
	readonly deflated?: boolean;
	/** Puts the sizes and the offset into a zip64 extra field, as Python does for members written as streams. */
	readonly zip64?: boolean;
}

export function zipBytes(members: readonly FixtureMember[]): Buffer {
	const locals: Buffer[] = [];
	const directory: Buffer[] = [];
	let offset = 0;
	for (const { name, data, deflated = false, zip64 = false } of members) {
		const stored = deflated ? deflateRawSync(data) : data;
		const fields = Buffer.alloc(26);
		fields.writeUInt16LE(45, 0);
		fields.writeUInt16LE(deflated ? 8 : 0, 4);
		fields.writeUInt32LE(crc32(data), 10);
		fields.writeUInt32LE(zip64 ? 0xffffffff : stored.length, 14);
		fields.writeUInt32LE(zip64 ? 0xffffffff : data.length, 18);
		fields.writeUInt16LE(name.length, 22);
		const extra = Buffer.alloc(zip64 ? 28 : 0);
		if (zip64) {
			extra.writeUInt16LE(1, 0);
			extra.writeUInt16LE(24, 2);
			for (const [i, value] of [data.length, stored.length, offset].entries())
				extra.writeBigUInt64LE(BigInt(value), 4 + 8 * i);
		}
		const place = Buffer.alloc(14);
		place.writeUInt32LE(zip64 ? 0xffffffff : offset, 10);
		const padding = Buffer.alloc(5);
		const localFields = Buffer.from(fields);
		localFields.writeUInt16LE(padding.length, 24);
		const local = bytes("PK\x03\x04", localFields, name, padding, stored);
		locals.push(local);
		fields.writeUInt16LE(extra.length, 24);
		directory.push(bytes("PK\x01\x02", 45, 0, fields, place, name, extra));
		offset += local.length;
	}
	const size = directory.reduce((sum, part) => sum + part.length, 0);
	const end = Buffer.alloc(18);
	end.writeUInt16LE(members.length, 4);
	end.writeUInt16LE(members.length, 6);
	end.writeUInt32LE(size, 8);
	end.writeUInt32LE(offset, 12);
	return bytes(...locals, ...directory, "PK\x05\x06", end);
}

/** As torch.save writes it since 1.6. */
export function torchZip(value: Uint8Array, tensors: readonly FixtureTensor[], deflated = false): Buffer {
	return zipBytes([
		{ name: "archive/data.pkl", data: pickled.file(value), deflated },
		...tensors.map(({ key, data }) => ({ name: `archive/data/${key}`, data, deflated })),
		{ name: "archive/version", data: Buffer.from("3\n") },
	]);
}

/** As torch.save wrote it before. */
export function torchStream(value: Uint8Array, tensors: readonly FixtureTensor[]): Buffer {
	const magic = Buffer.from("6cfc9c46f9206aa85019", "hex");
	const system = pickled.dict(
		[pickled.text("protocol_version"), pickled.number(1001)],
		[pickled.text("little_endian"), bytes(0x88)],
	);
	const storages = tensors.map(({ data, count }) => bytes(u32(count), u32(0), data));
	return bytes(
		pickled.file(bytes(0x8a, magic.length, magic)),
		pickled.file(pickled.number(1001)),
		pickled.file(system),
		pickled.file(value),
		pickled.file(pickled.list(...tensors.map(({ key }) => pickled.text(key)))),
		...storages,
	);
}
