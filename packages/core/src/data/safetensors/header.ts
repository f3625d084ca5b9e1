import { FormatError } from "../../errors.js";
import { isSafetensorsDtype, SAFETENSORS_DTYPES, type SafetensorsDtype, tensorBytes } from "./dtype.js";
import { repeatedKey } from "./json-keys.js";

/** Where a tensor lies: enough to read it, or to map it into memory. */
export interface TensorEntry {
	readonly name: string;
	readonly dtype: SafetensorsDtype;
	readonly shape: readonly number[];
	/** The file that holds the data. */
	readonly path: string;
	/** Position of the first byte, counted from the start of that file. */
	readonly byteOffset: number;
	/** Product of the shape times the bytes of an element. */
	readonly byteLength: number;
}

/** What a safetensors header says. */
export interface SafetensorsHeader {
	/** In the order in which the data lie in the file. */
	readonly tensors: ReadonlyMap<string, TensorEntry>;
	/** The free text pairs under `__metadata__`. */
	readonly metadata: ReadonlyMap<string, string>;
}

/** The length field before the JSON text: an unsigned 64-bit little-endian number. */
export const LENGTH_FIELD = 8;

/** The format's own bound on the JSON text, in bytes. */
export const MAX_HEADER = 100_000_000;

/**
 * Checks the length field against the file.
 *
 * @param field the first 8 bytes of the file, or fewer if it has fewer
 * @returns the length of the JSON text in bytes
 */
export function headerLength(field: Uint8Array, fileSize: number, path: string): number {
	if (fileSize < LENGTH_FIELD) {
		throw bad(path, `it has ${fileSize} bytes, too few for a header; the download may have been cut off`);
	}
	const length = new DataView(field.buffer, field.byteOffset, LENGTH_FIELD).getBigUint64(0, true);
	const rest = fileSize - LENGTH_FIELD;
	if (length <= BigInt(Math.min(rest, MAX_HEADER))) return Number(length);
	const foreign = foreignFormat(field);
	if (foreign !== undefined) throw bad(path, foreign);
	if (length <= BigInt(rest)) throw bad(path, `its header of ${length} bytes is over the limit of ${MAX_HEADER}`);
	throw bad(path, `its header claims ${length} bytes but only ${rest} follow; it is another format or was cut off`);
}

/** Names what people mistake for weights. Read as a header length, the first bytes of these are absurdly large. */
function foreignFormat(start: Uint8Array): string | undefined {
	const text = String.fromCharCode(...start.subarray(0, LENGTH_FIELD));
	if (text.startsWith("version ")) return "it is a Git LFS pointer, not the weights; run `git lfs pull`";
	// A zip archive, or a pickle of protocol 2 to 5.
	const pickle = start[0] === 0x80 && start[1]! >= 2 && start[1]! <= 5;
	if (text.startsWith("PK\x03\x04") || pickle) return "it is a PyTorch pickle; convert it to safetensors first";
	if (text.startsWith("GGUF")) return "it is a GGUF file; use the safetensors files of the model";
	if (/^\s*<(!|html)/i.test(text)) return "it is a web page, so the download failed";
	return undefined;
}

/**
 * Reads the JSON text of a header and checks all of it: types, sizes, and that the tensors fill the data exactly, without
 * overlaps or holes, as the format demands.
 *
 * @param json the bytes between the length field and the data
 * @param fileSize bytes of the whole file
 * @param path names the file in errors, and becomes the entries' path
 * @throws FormatError naming the file and the tensor
 */
export function parseHeader(json: Uint8Array, fileSize: number, path: string): SafetensorsHeader {
	const root = parseJson(json, path);
	const dataStart = LENGTH_FIELD + json.byteLength;
	const dataSize = fileSize - dataStart;
	let metadata: ReadonlyMap<string, string> = new Map();
	const entries: TensorEntry[] = [];
	for (const [name, value] of Object.entries(root)) {
		if (name === "__metadata__") metadata = parseMetadata(value, path);
		else entries.push(parseEntry(name, value, dataStart, dataSize, path));
	}
	// Tensors without elements first, so that they do not look like overlaps at the start of their neighbour.
	entries.sort((a, b) => a.byteOffset - b.byteOffset || a.byteLength - b.byteLength);
	let end = dataStart;
	let previous = "";
	for (const entry of entries) {
		if (entry.byteOffset < end) throw bad(path, `tensors ${quote(previous)} and ${quote(entry.name)} overlap`);
		if (entry.byteOffset > end) {
			throw bad(path, `${entry.byteOffset - end} bytes before tensor ${quote(entry.name)} belong to no tensor`);
		}
		end = entry.byteOffset + entry.byteLength;
		previous = entry.name;
	}
	if (end !== fileSize) throw bad(path, `its last ${fileSize - end} bytes belong to no tensor`);
	return { tensors: new Map(entries.map((entry) => [entry.name, entry])), metadata };
}

function parseJson(json: Uint8Array, path: string): object {
	if (json[0] !== 0x7b) throw bad(path, "its header is not a JSON object");
	let text: string;
	let root: unknown;
	try {
		text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(json);
	} catch {
		throw bad(path, "its header is not UTF-8 text");
	}
	try {
		root = JSON.parse(text);
	} catch {
		throw bad(path, "its header is not valid JSON");
	}
	const repeated = repeatedKey(text);
	if (repeated !== undefined) throw bad(path, `its header names ${quote(repeated)} twice`);
	return root as object;
}

function parseMetadata(value: unknown, path: string): Map<string, string> {
	if (!isObject(value)) throw bad(path, "its __metadata__ is not an object");
	const pairs = Object.entries(value);
	for (const [key, text] of pairs) {
		if (typeof text !== "string") throw bad(path, `its metadata ${quote(key)} is not text`);
	}
	return new Map(pairs as [string, string][]);
}

function parseEntry(name: string, value: unknown, dataStart: number, dataSize: number, path: string): TensorEntry {
	const tensor = `tensor ${quote(name)}`;
	if (!isObject(value)) throw bad(path, `${tensor} is described by something other than an object`);
	const { dtype, shape, data_offsets: offsets } = value;
	if (!isSafetensorsDtype(dtype)) {
		throw bad(path, `${tensor} has dtype ${quote(dtype)}; known are ${SAFETENSORS_DTYPES.join(", ")}`);
	}
	if (!isCounts(shape)) throw bad(path, `${tensor} has a shape that is not a list of whole numbers`);
	if (!isCounts(offsets) || offsets.length !== 2)
		throw bad(path, `${tensor} has data_offsets that are not two numbers`);
	const [begin, end] = offsets as [number, number];
	if (begin > end || end > dataSize) {
		throw bad(path, `${tensor} lies at bytes ${begin} to ${end} of ${dataSize}; the file may have been cut off`);
	}
	const byteLength = tensorBytes(dtype, shape);
	if (byteLength !== end - begin) {
		const form = clip(`${dtype} [${shape.join(", ")}]`);
		const needs = byteLength === undefined ? "more than any file holds" : `${byteLength} bytes`;
		throw bad(path, `${tensor} is ${form}, which needs ${needs}, but has ${end - begin}`);
	}
	return { name, dtype, shape, path, byteOffset: dataStart + begin, byteLength };
}

/** One line of JSON before the data, padded with spaces so that the data begin at a multiple of 8 bytes. */
export function formatHeader(
	tensors: readonly { name: string; dtype: SafetensorsDtype; shape: readonly number[]; byteLength: number }[],
	metadata: readonly (readonly [string, string])[],
): Uint8Array {
	let offset = 0;
	const members: [string, unknown][] = tensors.map(({ name, dtype, shape, byteLength }) => {
		const begin = offset;
		offset += byteLength;
		return [name, { dtype, shape, data_offsets: [begin, offset] }];
	});
	if (metadata.length > 0) members.unshift(["__metadata__", Object.fromEntries(metadata)]);
	// Object.fromEntries would move names that look like array indices to the front; the text keeps the order given.
	const text = `{${members.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(",")}}`;
	const json = Buffer.from(text, "utf8");
	const length = Math.ceil(json.byteLength / 8) * 8;
	const header = Buffer.alloc(LENGTH_FIELD + length, " ");
	header.writeBigUInt64LE(BigInt(length), 0);
	json.copy(header, LENGTH_FIELD);
	return header;
}

/** A name from a file as it may stand in a sentence: on one line and of bounded length. */
export function quote(value: unknown): string {
	return clip(JSON.stringify(value) ?? "nothing");
}

function clip(text: string): string {
	return text.length > 200 ? `${text.slice(0, 199)}…` : text;
}

export function isObject(value: unknown): value is Record<string, unknown> {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCounts(value: unknown): value is number[] {
	return Array.isArray(value) && value.every((side) => Number.isSafeInteger(side) && side >= 0);
}

function bad(path: string, reason: string): FormatError {
	return new FormatError("BAD_SAFETENSORS", path, `${path} is not a valid safetensors file: ${reason}`);
}
