import { crc32, inflateSync } from "node:zlib";
import { ArgumentError, FormatError } from "../../errors.js";

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);

/** Signature plus the header chunk, which must come first: 4 length, 4 type, 13 data, 4 checksum. */
const AFTER_HEADER = SIGNATURE.length + 25;

/** A compressed text may not unpack to more than this many bytes. */
const MAX_TEXT = 2 ** 24;

/**
 * Adds text chunks to a PNG, after its header: ASCII text as `tEXt`, any other as `iTXt` in UTF-8.
 *
 * @param png a complete PNG file
 * @param text keyword (1 to 79 printable Latin-1 characters) to text (any characters but the zero byte)
 */
export function insertPngText(png: Uint8Array, text: Readonly<Record<string, string>>): Uint8Array {
	const chunks = Object.entries(text).map(([keyword, value]) => textChunk(keyword, value));
	return Buffer.concat([png.subarray(0, AFTER_HEADER), ...chunks, png.subarray(AFTER_HEADER)]);
}

/**
 * The text chunks of a PNG (`tEXt`, `zTXt`, `iTXt`), by keyword; of a repeated keyword the first. Pixels are not decoded.
 *
 * @param name what to call the file in errors
 * @throws FormatError `BAD_PNG` when the bytes are not a complete PNG
 */
export function parsePngText(png: Uint8Array, name: string): Map<string, string> {
	const texts = new Map<string, string>();
	for (const { type, data } of chunks(png, name)) {
		const entry = TEXT_PARSERS[type]?.(data, name);
		if (entry !== undefined && !texts.has(entry[0])) texts.set(...entry);
	}
	return texts;
}

function textChunk(keyword: string, text: string): Buffer {
	if (!/^[\x21-\x7e\xa1-\xff]+( [\x21-\x7e\xa1-\xff]+)*$/.test(keyword) || keyword.length > 79) {
		throw new ArgumentError(
			`${JSON.stringify(keyword)} cannot be a PNG keyword, which is 1 to 79 printable Latin-1 characters and single spaces`,
		);
	}
	if (text.includes("\0")) throw new ArgumentError(`the PNG text ${JSON.stringify(keyword)} holds a zero byte`);
	// The format would allow Latin-1 here, but many readers, libvips among them, take it for UTF-8.
	if (/^[\n\x20-\x7e]*$/.test(text)) return chunk("tEXt", Buffer.from(`${keyword}\0${text}`, "latin1"));
	// Not compressed, language and translated keyword empty.
	const head = Buffer.from(`${keyword}\0\0\0\0\0`, "latin1");
	return chunk("iTXt", Buffer.concat([head, Buffer.from(text, "utf8")]));
}

function chunk(type: string, data: Uint8Array): Buffer {
	const bytes = Buffer.alloc(12 + data.byteLength);
	bytes.writeUInt32BE(data.byteLength, 0);
	bytes.write(type, 4, "latin1");
	bytes.set(data, 8);
	bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + data.byteLength)), 8 + data.byteLength);
	return bytes;
}

function* chunks(png: Uint8Array, name: string): Generator<{ type: string; data: Buffer }> {
	const bytes = Buffer.from(png.buffer, png.byteOffset, png.byteLength);
	if (!bytes.subarray(0, SIGNATURE.length).equals(SIGNATURE)) throw bad(name, "it does not begin as one");
	let at = SIGNATURE.length;
	while (at + 12 <= bytes.byteLength) {
		const length = bytes.readUInt32BE(at);
		const type = bytes.toString("latin1", at + 4, at + 8);
		const end = at + 8 + length;
		if (!/^[A-Za-z]{4}$/.test(type)) throw bad(name, `the chunk at byte ${at} has no valid type`);
		if (end + 4 > bytes.byteLength) break;
		if (crc32(bytes.subarray(at + 4, end)) !== bytes.readUInt32BE(end)) throw bad(name, `its ${type} chunk is damaged`);
		if (at === SIGNATURE.length && type !== "IHDR") throw bad(name, "it has no header");
		if (type === "IEND") return;
		yield { type, data: bytes.subarray(at + 8, end) };
		at = end + 4;
	}
	throw bad(name, "it was cut off");
}

const TEXT_PARSERS: Record<string, (data: Buffer, name: string) => [keyword: string, text: string] | undefined> = {
	tEXt(data) {
		const [keyword, rest] = split(data) ?? [];
		return rest && [keyword!, rest.toString("latin1")];
	},
	zTXt(data, name) {
		const [keyword, rest] = split(data) ?? [];
		return rest && [keyword!, inflate(rest.subarray(1), name).toString("latin1")];
	},
	iTXt(data, name) {
		const [keyword, rest] = split(data) ?? [];
		if (rest === undefined || rest.length < 2) return undefined;
		const afterLanguage = split(rest.subarray(2))?.[1];
		const text = afterLanguage && split(afterLanguage)?.[1];
		return text && [keyword!, (rest[0] === 1 ? inflate(text, name) : text).toString("utf8")];
	},
};

/** What stands before and after the first zero byte. */
function split(data: Buffer): [string, Buffer] | undefined {
	const zero = data.indexOf(0);
	return zero < 0 ? undefined : [data.toString("latin1", 0, zero), data.subarray(zero + 1)];
}

function inflate(data: Uint8Array, name: string): Buffer {
	try {
		return inflateSync(data, { maxOutputLength: MAX_TEXT });
	} catch {
		throw bad(name, `a compressed text in it is damaged or over the limit of ${MAX_TEXT} bytes`);
	}
}

function bad(name: string, reason: string): FormatError {
	return new FormatError("BAD_PNG", name, `${name} is not a valid PNG: ${reason}`);
}
