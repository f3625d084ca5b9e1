// Event files for TensorBoard: a record per step, framed as TFRecords, holding Event messages of tensorflow/core/util/event.proto
// (a Summary of scalars in each), encoded by hand.
import { appendFile, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../../data/atomic.js";
import { fileError, makeFolders } from "../../data/file-system.js";
import type { StepMetrics } from "./metrics.js";

const CASTAGNOLI = Uint32Array.from({ length: 256 }, (_, byte) => {
	let crc = byte;
	for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
	return crc;
});

/** CRC-32C, the Castagnoli polynomial; zlib's is another. */
export function crc32c(bytes: Uint8Array): number {
	let crc = 0xffffffff;
	for (const byte of bytes) crc = CASTAGNOLI[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
	return (crc ^ 0xffffffff) >>> 0;
}

/** TFRecords mask their checksums, so that a checksum over data with checksums in them stays one. */
function masked(bytes: Uint8Array): number {
	const crc = crc32c(bytes);
	return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

function framed(data: Uint8Array): Buffer {
	const record = Buffer.alloc(16 + data.length);
	record.writeBigUInt64LE(BigInt(data.length), 0);
	record.writeUInt32LE(masked(record.subarray(0, 8)), 8);
	record.set(data, 12);
	record.writeUInt32LE(masked(data), 12 + data.length);
	return record;
}

function varint(value: number): Buffer {
	const bytes: number[] = [];
	let rest = BigInt(value);
	do {
		bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
		rest >>= 7n;
	} while (rest > 0n);
	return Buffer.from(bytes);
}

/** A field of bytes, text or a message. */
function field(number: number, data: Uint8Array): Buffer {
	return Buffer.concat([varint((number << 3) | 2), varint(data.length), data]);
}

function wallTime(seconds: number): Buffer {
	const bytes = Buffer.alloc(9);
	bytes[0] = (1 << 3) | 1;
	bytes.writeDoubleLE(seconds, 1);
	return bytes;
}

function versionEvent(seconds: number): Buffer {
	return Buffer.concat([wallTime(seconds), field(3, Buffer.from("brain.Event:2"))]);
}

function scalarEvent(seconds: number, step: number, scalars: Readonly<Record<string, number>>): Buffer {
	const values = Object.entries(scalars).map(([tag, value]) => {
		const simple = Buffer.alloc(5);
		simple[0] = (2 << 3) | 5;
		simple.writeFloatLE(value, 1);
		return field(1, Buffer.concat([field(1, Buffer.from(tag)), simple]));
	});
	return Buffer.concat([wallTime(seconds), varint(2 << 3), varint(step), field(5, Buffer.concat(values))]);
}

/** The step of an event; 0 where it has none. Steps stand before everything but the time in what is written here. */
function stepOf(event: Buffer): number {
	if (event[9] !== 2 << 3) return 0;
	let step = 0n;
	for (let at = 10, shift = 0n; at < event.length; at++, shift += 7n) {
		step |= BigInt(event[at]! & 0x7f) << shift;
		if (event[at]! < 0x80) break;
	}
	return Number(step);
}

/** Whole records from the start of a file; what a crash cut off is left out. */
function wholeRecords(file: Buffer): Buffer[] {
	const records: Buffer[] = [];
	for (let at = 0; at + 16 <= file.length; ) {
		const length = Number(file.readBigUInt64LE(at));
		const end = at + 16 + length;
		if (masked(file.subarray(at, at + 8)) !== file.readUInt32LE(at + 8) || end > file.length) break;
		if (masked(file.subarray(at + 12, end - 4)) !== file.readUInt32LE(end - 4)) break;
		records.push(file.subarray(at, end));
		at = end;
	}
	return records;
}

/** Terms that only some methods' losses have. */
const TERMS = ["orthogonal", "prior"] as const;

function scalarsOf(line: StepMetrics & { readonly [term in (typeof TERMS)[number]]?: number }): Record<string, number> {
	const terms = TERMS.flatMap((term) => (line[term] === undefined ? [] : [[`loss/${term}`, line[term]] as const]));
	return {
		loss: line.loss,
		"loss/denoising": line.error,
		...Object.fromEntries(terms),
		gradient_norm: line.gradientNorm,
		learning_rate: line.learningRate,
		seconds_per_step: line.seconds,
	};
}

const NAME = /^events\.out\.tfevents\.\d+\.dreamdist$/;

/** The event file of a run. */
export class EventFile {
	private constructor(readonly path: string) {}

	/**
	 * Begins a file, or goes on with the one that is there.
	 *
	 * @param before steps that were taken already: later ones are dropped from the file, and where there is no file they are written
	 * into a new one
	 */
	static async open(folder: string, before: readonly StepMetrics[]): Promise<EventFile> {
		try {
			await makeFolders(folder);
			const now = Date.now() / 1000;
			const last = before.at(-1)?.step ?? 0;
			const name = (await readdir(folder)).sort().find((one) => NAME.test(one));
			const path = join(folder, name ?? `events.out.tfevents.${Math.floor(now)}.dreamdist`);
			const kept = name
				? wholeRecords(await readFile(path)).filter((record) => stepOf(record.subarray(12)) <= last)
				: before.map((line) => framed(scalarEvent(now, line.step, scalarsOf(line))));
			// A file without its version event is none that TensorBoard reads.
			if (!name || kept.length === 0) kept.unshift(framed(versionEvent(now)));
			await writeFileAtomic(path, Buffer.concat(kept));
			return new EventFile(path);
		} catch (error) {
			throw fileError(error, "write event files into", folder);
		}
	}

	/** One write of one record. */
	async append(line: StepMetrics): Promise<void> {
		try {
			await appendFile(this.path, framed(scalarEvent(Date.now() / 1000, line.step, scalarsOf(line))));
		} catch (error) {
			throw fileError(error, "write", this.path);
		}
	}
}
