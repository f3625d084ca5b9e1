import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { crc32c, EventFile, type MetricsLine } from "../../src/index.js";

let folder: string;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "dd-events-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const line = (step: number): MetricsLine => ({
	step,
	loss: step / 8,
	error: 1,
	orthogonal: 0.5,
	gradientNorm: 2,
	learningRate: 0.001,
	timesteps: [1],
	seconds: 0.25,
});

/** The messages of a protobuf: fields by number, each with its values in order. */
function message(data: Buffer): Map<number, (bigint | Buffer)[]> {
	const fields = new Map<number, (bigint | Buffer)[]>();
	let at = 0;
	const varint = () => {
		let value = 0n;
		for (let shift = 0n; ; shift += 7n) {
			const byte = data[at++]!;
			value |= BigInt(byte & 0x7f) << shift;
			if (byte < 0x80) return value;
		}
	};
	while (at < data.length) {
		const key = Number(varint());
		const wire = key & 7;
		const length = wire === 1 ? 8 : wire === 5 ? 4 : wire === 2 ? Number(varint()) : 0;
		const value = wire === 0 ? varint() : data.subarray(at, at + length);
		at += length;
		fields.set(key >> 3, [...(fields.get(key >> 3) ?? []), value]);
	}
	return fields;
}

interface Event {
	readonly time: number;
	readonly step: number;
	readonly version: string | null;
	readonly scalars: Record<string, number>;
}

/** An independent reader of event files. */
function events(path: string): Event[] {
	const file = readFileSync(path);
	const list: Event[] = [];
	const unmasked = (value: number) => {
		const rotated = (value - 0xa282ead8) >>> 0;
		return ((rotated >>> 17) | (rotated << 15)) >>> 0;
	};
	for (let at = 0; at < file.length; ) {
		const length = Number(file.readBigUInt64LE(at));
		expect(unmasked(file.readUInt32LE(at + 8))).toBe(crc32c(file.subarray(at, at + 8)));
		const data = file.subarray(at + 12, at + 12 + length);
		expect(unmasked(file.readUInt32LE(at + 12 + length))).toBe(crc32c(data));
		const fields = message(data);
		const summary = fields.get(5)?.[0] as Buffer | undefined;
		const values = summary ? message(summary).get(1)! : [];
		list.push({
			time: (fields.get(1)![0] as Buffer).readDoubleLE(),
			step: Number(fields.get(2)?.[0] ?? 0n),
			version: fields.get(3)?.[0]?.toString() ?? null,
			scalars: Object.fromEntries(
				values.map((value) => {
					const own = message(value as Buffer);
					return [own.get(1)![0]!.toString(), (own.get(2)![0] as Buffer).readFloatLE()];
				}),
			),
		});
		at += 16 + length;
	}
	return list;
}

it("checks with Castagnoli's polynomial", () => {
	// RFC 3720, B.4
	expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
	expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
	expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
	expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
});

it("writes a version and then a step's scalars in each event", async () => {
	const file = await EventFile.open(folder, []);
	await file.append(line(1));
	await file.append(line(200));
	expect(readdirSync(folder)).toEqual([expect.stringMatching(/^events\.out\.tfevents\.\d+\.dreamdist$/)]);
	const [first, ...rest] = events(file.path);
	expect(first).toMatchObject({ version: "brain.Event:2", step: 0, scalars: {} });
	expect(Math.abs(first!.time - Date.now() / 1000)).toBeLessThan(60);
	expect(rest.map(({ step }) => step)).toEqual([1, 200]);
	expect(rest[1]!.scalars).toEqual({
		loss: 25,
		"loss/denoising": 1,
		"loss/orthogonal": 0.5,
		gradient_norm: 2,
		learning_rate: Math.fround(0.001),
		seconds_per_step: 0.25,
	});
});

it("goes on after a crash from the checkpoint's step, in the same file", async () => {
	const file = await EventFile.open(folder, []);
	for (const step of [1, 2, 3, 300]) await file.append(line(step));
	// The process was killed in the middle of a record.
	truncateSync(file.path, readFileSync(file.path).length - 7);
	const again = await EventFile.open(folder, [line(1), line(2)]);
	expect(again.path).toBe(file.path);
	await again.append(line(3));
	expect(events(again.path).map(({ step }) => step)).toEqual([0, 1, 2, 3]);
	expect(events(again.path)[0]!.version).toBe("brain.Event:2");
	// Whatever else got into it is left out.
	appendFileSync(again.path, Buffer.alloc(40, 7));
	await EventFile.open(folder, [line(1), line(2), line(3)]);
	expect(events(again.path).map(({ step }) => step)).toEqual([0, 1, 2, 3]);
});

it("has the steps that were taken before it was asked for", async () => {
	const file = await EventFile.open(folder, [line(1), line(2)]);
	expect(events(file.path).map(({ step, scalars }) => [step, scalars.loss])).toEqual([
		[0, undefined],
		[1, 0.125],
		[2, 0.25],
	]);
});
