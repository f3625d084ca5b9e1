// Reading zip archives: the directory first, members when asked for. Stored and deflated members, with and without zip64.
import type { FileHandle } from "node:fs/promises";
import { promisify } from "node:util";
import { crc32, inflateRaw } from "node:zlib";
import { FormatError } from "../../errors.js";
import { openRegularFile, readFully } from "../file-system.js";
import { quote } from "../safetensors/header.js";

/** A file of an archive. Sizes and offsets were checked against the archive's length, names are unique. */
export interface ZipMember {
	readonly name: string;
	/** 0 is stored, 8 deflated. Others can't be read. */
	readonly method: number;
	readonly crc: number;
	readonly compressedSize: number;
	readonly size: number;
	readonly headerOffset: number;
	readonly isEncrypted: boolean;
}

const END = 0x06054b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;

const END_SIZE = 22;
const CENTRAL_SIZE = 46;
const LOCAL_SIZE = 30;
/** A directory of a model's thousands of tensors has a few hundred kilobytes. */
const MAX_DIRECTORY = 64 * 2 ** 20;
const STORED = 0;
const DEFLATED = 8;

const inflate = promisify(inflateRaw);

/** An open zip archive. Only its directory is in memory. */
export class ZipArchive {
	private constructor(
		readonly path: string,
		private readonly handle: FileHandle,
		private readonly fileSize: number,
		/** Every member by its name. */
		readonly members: ReadonlyMap<string, ZipMember>,
	) {}

	/** @throws FileError when it can't be read; FormatError `BAD_ZIP` naming it when it is no zip archive, or a damaged one */
	static async open(path: string): Promise<ZipArchive> {
		const { handle, size } = await openRegularFile(path);
		try {
			const members = await readDirectory(handle, size, path);
			return new ZipArchive(path, handle, size, members);
		} catch (error) {
			await handle.close();
			throw error;
		}
	}

	/** @throws FormatError when there is no such member */
	member(name: string): ZipMember {
		const member = this.members.get(name);
		if (!member) throw bad(this.path, `it has no member ${quote(name)}`);
		return member;
	}

	/** Where a stored member's bytes begin in the file; null for a compressed one, which lies nowhere as it is. */
	async storedAt(member: ZipMember): Promise<number | null> {
		return member.method === STORED && !member.isEncrypted ? this.dataOffset(member) : null;
	}

	/**
	 * A member's bytes, checked against its checksum.
	 *
	 * @param limit bytes above which it is refused, before anything is allocated
	 */
	async read(member: ZipMember, limit: number): Promise<Uint8Array<ArrayBuffer>> {
		const { name, size, compressedSize, method } = member;
		const what = `its member ${quote(name)}`;
		if (member.isEncrypted) throw bad(this.path, `${what} is encrypted`);
		if (size > limit || compressedSize > limit)
			throw bad(this.path, `${what} has ${size} bytes; at most ${limit} are read`);
		if (method !== STORED && method !== DEFLATED)
			throw bad(this.path, `${what} is compressed by method ${method}; stored and deflated ones are read`);
		const raw = new Uint8Array(compressedSize);
		await readFully(this.handle, raw, await this.dataOffset(member), this.path);
		let bytes = raw;
		if (method === DEFLATED) {
			try {
				// One byte more than there should be, so that too much is noticed and never all of it made.
				const out = await inflate(raw, { maxOutputLength: size + 1 });
				bytes = new Uint8Array(out.buffer as ArrayBuffer, out.byteOffset, out.byteLength);
			} catch (error) {
				throw bad(this.path, `${what} can't be inflated (${(error as Error).message})`);
			}
		}
		if (bytes.byteLength !== size) throw bad(this.path, `${what} has ${bytes.byteLength} bytes instead of ${size}`);
		if (crc32(bytes) !== member.crc)
			throw bad(this.path, `the checksum of ${what.slice(4)} is wrong; the file is damaged`);
		return bytes;
	}

	/** Reads a part of a stored member, unchecked. */
	async readStored(offset: number, target: Uint8Array): Promise<void> {
		await readFully(this.handle, target, offset, this.path);
	}

	async close(): Promise<void> {
		await this.handle.close();
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.close();
	}

	/** The lengths in the local header may differ from the directory's, so it has to be asked. */
	private async dataOffset(member: ZipMember): Promise<number> {
		const what = `its member ${quote(member.name)}`;
		const header = new Uint8Array(LOCAL_SIZE);
		await readFully(this.handle, header, member.headerOffset, this.path);
		const view = viewOf(header);
		if (view.getUint32(0, true) !== LOCAL) throw bad(this.path, `${what} is not where the directory says`);
		const offset = member.headerOffset + LOCAL_SIZE + view.getUint16(26, true) + view.getUint16(28, true);
		if (offset + member.compressedSize > this.fileSize)
			throw bad(this.path, `${what} goes beyond the end of the file; it may have been cut off`);
		return offset;
	}
}

function viewOf(bytes: Uint8Array): DataView {
	return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A 64-bit length as a number; undefined where a double can't hold it. */
function size64(view: DataView, at: number): number | undefined {
	const value = view.getBigUint64(at, true);
	return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : undefined;
}

interface DirectoryPlace {
	readonly offset: number;
	readonly size: number;
	readonly count: number;
}

async function findDirectory(handle: FileHandle, fileSize: number, path: string): Promise<DirectoryPlace> {
	// The end record is last, but for a comment of at most 65,535 bytes.
	const tail = new Uint8Array(Math.min(fileSize, END_SIZE + 0xffff));
	await readFully(handle, tail, fileSize - tail.length, path);
	const view = viewOf(tail);
	let at = tail.length - END_SIZE;
	while (at >= 0 && view.getUint32(at, true) !== END) at--;
	if (at < 0) throw bad(path, "it has no directory at its end; it is another format or was cut off");
	const place = {
		count: view.getUint16(at + 10, true),
		size: view.getUint32(at + 12, true),
		offset: view.getUint32(at + 16, true),
	};
	if (at >= 20 && view.getUint32(at - 20, true) === LOCATOR64) {
		const position = size64(view, at - 12);
		if (position === undefined || position + 56 > fileSize) throw bad(path, "its zip64 end record is beyond its end");
		const record = new Uint8Array(56);
		await readFully(handle, record, position, path);
		const record64 = viewOf(record);
		if (record64.getUint32(0, true) !== END64) throw bad(path, "its zip64 end record is not where it should be");
		const [count, size, offset] = [size64(record64, 32), size64(record64, 40), size64(record64, 48)];
		if (count === undefined || size === undefined || offset === undefined)
			throw bad(path, "its directory is larger than any file");
		return { count, size, offset };
	}
	return place;
}

async function readDirectory(handle: FileHandle, fileSize: number, path: string): Promise<Map<string, ZipMember>> {
	if (fileSize < END_SIZE) throw bad(path, `it has only ${fileSize} bytes`);
	const { offset, size, count } = await findDirectory(handle, fileSize, path);
	if (offset + size > fileSize) throw bad(path, "its directory goes beyond its end; it may have been cut off");
	if (size > MAX_DIRECTORY) throw bad(path, `its directory of ${size} bytes is over the limit of ${MAX_DIRECTORY}`);
	const bytes = new Uint8Array(size);
	await readFully(handle, bytes, offset, path);
	const members = new Map<string, ZipMember>();
	let at = 0;
	for (let i = 0; i < count; i++) {
		const { member, next } = parseMember(bytes, at, fileSize, path);
		if (members.has(member.name)) throw bad(path, `it has two members ${quote(member.name)}`);
		members.set(member.name, member);
		at = next;
	}
	return members;
}

function parseMember(
	bytes: Uint8Array,
	at: number,
	fileSize: number,
	path: string,
): { member: ZipMember; next: number } {
	const view = viewOf(bytes);
	if (at + CENTRAL_SIZE > bytes.length || view.getUint32(at, true) !== CENTRAL)
		throw bad(path, "its directory is damaged");
	const nameLength = view.getUint16(at + 28, true);
	const extraLength = view.getUint16(at + 30, true);
	const extraAt = at + CENTRAL_SIZE + nameLength;
	const next = extraAt + extraLength + view.getUint16(at + 32, true);
	if (next > bytes.length) throw bad(path, "its directory is damaged");
	const name = new TextDecoder().decode(bytes.subarray(at + CENTRAL_SIZE, extraAt));
	const fields = [view.getUint32(at + 24, true), view.getUint32(at + 20, true), view.getUint32(at + 42, true)];
	const [size, compressedSize, headerOffset] = widened(fields, view, extraAt, extraAt + extraLength);
	if (
		size === undefined ||
		compressedSize === undefined ||
		headerOffset === undefined ||
		headerOffset + LOCAL_SIZE + compressedSize > fileSize
	)
		throw bad(path, `its member ${quote(name)} goes beyond the end of the file; it may have been cut off`);
	const member = {
		name,
		method: view.getUint16(at + 10, true),
		crc: view.getUint32(at + 16, true),
		compressedSize,
		size,
		headerOffset,
		isEncrypted: (view.getUint16(at + 8, true) & 1) !== 0,
	};
	return { member, next };
}

/** Fields of 32 ones stand in the zip64 extra field instead, in their order. */
function widened(fields: readonly number[], view: DataView, from: number, to: number): (number | undefined)[] {
	let [at, end] = [to, to];
	for (let field = from; field + 4 <= to; ) {
		const length = view.getUint16(field + 2, true);
		if (view.getUint16(field, true) === 1) [at, end] = [field + 4, Math.min(to, field + 4 + length)];
		field += 4 + length;
	}
	return fields.map((value) => {
		if (value !== 0xffffffff) return value;
		if (at + 8 > end) return undefined;
		at += 8;
		return size64(view, at - 8);
	});
}

function bad(path: string, reason: string): FormatError {
	return new FormatError("BAD_ZIP", path, `${path} is not a valid zip archive: ${reason}`);
}
