// Writing zip archives of stored members, whole or not at all.
import { crc32 } from "node:zlib";
import { ArgumentError } from "../../errors.js";
import { writeFileAtomic, writeFully } from "../atomic.js";

/** A file to put into an archive. */
export interface ZipContents {
	readonly name: string;
	/** Its bytes, in pieces. */
	readonly pieces: readonly Uint8Array[];
}

/** Without zip64, lengths and offsets have 32 bits. */
const MAX_ARCHIVE = 2 ** 32 - 1;
/** 1 January 1980: no clock gets into the file, so that the same contents give the same bytes. */
const DATE = (1 << 5) | 1;

/** @throws ArgumentError above 4 GiB; FileError when the disk refuses */
export async function writeZip(path: string, members: readonly ZipContents[]): Promise<void> {
	const plans: { name: Uint8Array; size: number; crc: number; offset: number }[] = [];
	let offset = 0;
	for (const { name, pieces } of members) {
		const encoded = new TextEncoder().encode(name);
		const size = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
		const crc = pieces.reduce((sum, piece) => crc32(piece, sum), 0);
		plans.push({ name: encoded, size, crc, offset });
		offset += 30 + encoded.length + size;
	}
	const directory = plans.map((plan) => header(plan, true));
	const directorySize = directory.reduce((sum, part) => sum + part.length, 0);
	if (offset + directorySize > MAX_ARCHIVE || members.length > 0xffff)
		throw new ArgumentError(`${path} would have ${offset + directorySize} bytes; such an archive has at most 4 GiB`);
	const end = Buffer.alloc(22);
	end.writeUInt32LE(0x06054b50, 0);
	end.writeUInt16LE(members.length, 8);
	end.writeUInt16LE(members.length, 10);
	end.writeUInt32LE(directorySize, 12);
	end.writeUInt32LE(offset, 16);
	await writeFileAtomic(path, async (file) => {
		for (const [i, { pieces }] of members.entries()) {
			await writeFully(file, header(plans[i]!, false));
			for (const piece of pieces) await writeFully(file, piece);
		}
		for (const part of [...directory, end]) await writeFully(file, part);
	});
}

function header(member: { name: Uint8Array; size: number; crc: number; offset: number }, inDirectory: boolean): Buffer {
	const { name, size, crc, offset } = member;
	const bytes = Buffer.alloc((inDirectory ? 46 : 30) + name.length);
	bytes.writeUInt32LE(inDirectory ? 0x02014b50 : 0x04034b50, 0);
	// The directory's entry has one field more at its start: the version that wrote it.
	const at = inDirectory ? 6 : 4;
	if (inDirectory) bytes.writeUInt16LE(20, 4);
	bytes.writeUInt16LE(20, at);
	bytes.writeUInt16LE(0x800, at + 2);
	bytes.writeUInt16LE(DATE, at + 8);
	bytes.writeUInt32LE(crc, at + 10);
	bytes.writeUInt32LE(size, at + 14);
	bytes.writeUInt32LE(size, at + 18);
	bytes.writeUInt16LE(name.length, at + 22);
	if (inDirectory) bytes.writeUInt32LE(offset, 42);
	bytes.set(name, inDirectory ? 46 : 30);
	return bytes;
}
