import {
	closeSync,
	ftruncateSync,
	mkdtempSync,
	openSync,
	readFileSync,
	rmSync,
	writeFileSync,
	writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openSafetensors, openSafetensorsIndex, writeSafetensors } from "../../src/data/safetensors/index.js";
import { DreamdistError } from "../../src/errors.js";
import { generator } from "./random.js";

let folder: string;
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "dd-fuzz-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const NASTY = [
	"-1",
	"0",
	"1e308",
	"1e999",
	"4294967296",
	"9007199254740993",
	"18446744073709551615",
	"null",
	"true",
	"[]",
	"{}",
	'""',
	'"F32"',
	'"BF16"',
	'"\\u0000"',
	'"\\ud800"',
	"[[[[[[[[",
	"}{",
	",",
	'"__metadata__":{"a":1},',
	'"__proto__":{},',
	"NaN",
	"0x10",
	" ",
	"\t",
];

function mutate(file: Buffer, random: (below: number) => number): Buffer {
	let bytes = Buffer.from(file);
	const headerEnd = () => Math.min(bytes.length, 8 + Number(file.readBigUInt64LE(0)));
	for (let round = 1 + random(3); round > 0; round--) {
		const at = random(Math.max(1, headerEnd()));
		switch (random(9)) {
			case 0: // a flipped bit anywhere up to the end of the header
				if (at < bytes.length) bytes[at]! ^= 1 << random(8);
				break;
			case 1: // another byte in the text
				if (at < bytes.length) bytes[at] = random(256);
				break;
			case 2: // a piece cut out
				bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + random(40))]);
				break;
			case 3: // something inserted
				bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from(NASTY[random(NASTY.length)]!), bytes.subarray(at)]);
				break;
			case 4: // cut off
				bytes = bytes.subarray(0, random(bytes.length + 1));
				break;
			case 5: // another header length
				if (bytes.length >= 8) {
					const lengths = [0n, 1n, 7n, 2n ** 31n, 2n ** 53n, 2n ** 64n - 1n, BigInt(random(2 * file.length))];
					bytes.writeBigUInt64LE(lengths[random(lengths.length)]!, 0);
				}
				break;
			default: {
				// a number or string of the JSON text replaced, with the length kept true, so that deeper checks are reached
				const text = bytes.subarray(8, headerEnd()).toString("latin1");
				const tokens = [...text.matchAll(/-?\d+|"[^"]*"|\[[^[\]]*\]/g)];
				const token = tokens[random(Math.max(1, tokens.length))];
				if (token === undefined || bytes.length < 8) break;
				const value =
					random(3) === 0
						? tokens[random(tokens.length)]![0]
						: random(2)
							? NASTY[random(NASTY.length)]!
							: `${random(64)}`;
				const changed = text.slice(0, token.index) + value + text.slice(token.index + token[0].length);
				const json = Buffer.from(changed, "latin1");
				const rest = bytes.subarray(headerEnd());
				bytes = Buffer.concat([bytes.subarray(0, 8), json, rest]);
				bytes.writeBigUInt64LE(BigInt(json.length), 0);
			}
		}
	}
	return bytes;
}

function isSentence(error: unknown, path: string): boolean {
	return (
		error instanceof DreamdistError &&
		error.message.includes(path) &&
		error.message.length < path.length + 1000 &&
		// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not be there
		!/[\x00-\x1f]/.test(error.message)
	);
}

test("10,000 mutated safetensors files are read or refused in a sentence", async () => {
	const source = join(folder, "source.safetensors");
	await writeSafetensors(
		source,
		{
			"text_model.embeddings.weight": { dtype: "F32", shape: [4, 3], data: new Float32Array(12).fill(1) },
			"unet.conv_in.weight": { dtype: "F16", shape: [2, 2, 1, 1], data: new Uint16Array(4) },
			"scale.bf16": { dtype: "BF16", shape: [], data: new Uint16Array(1) },
			position_ids: { dtype: "I64", shape: [1, 7], data: new BigInt64Array(7) },
			mask: { dtype: "BOOL", shape: [5], data: new Uint8Array(5) },
			empty: { dtype: "F32", shape: [0, 9], data: new Float32Array(0) },
		},
		{ metadata: { format: "pt", settings: '{"lr":0.001}' } },
	);
	const original = readFileSync(source);
	const path = join(folder, "mutated.safetensors");
	const random = generator(20231214);
	const wrong: string[] = [];
	let opened = 0;
	const reasons = new Set<string>();
	let largest = 0;
	const baseline = process.memoryUsage.rss();
	const slot = openSync(path, "w+");
	for (let i = 0; i < 10_000; i++) {
		const bytes = mutate(original, random);
		ftruncateSync(slot, 0);
		writeSync(slot, bytes, 0, bytes.length, 0);
		try {
			const file = await openSafetensors(path);
			try {
				for (const entry of file.tensors.values()) {
					if (entry.byteOffset + entry.byteLength > bytes.length) throw new Error(`${entry.name} is out of range`);
					const read = await file.read(entry.name);
					const there = bytes.subarray(entry.byteOffset, entry.byteOffset + entry.byteLength);
					if (!there.equals(read)) throw new Error(`${entry.name} differs`);
				}
			} finally {
				await file.close();
			}
			opened++;
		} catch (error) {
			if (!isSentence(error, path)) wrong.push(`mutation ${i}: ${String(error)}`);
			else {
				reasons.add((error as DreamdistError).message.replace(/"(\\.|[^"\\])*"/g, "name").replace(/\d+/g, "number"));
			}
		}
		if (i % 500 === 0) largest = Math.max(largest, process.memoryUsage.rss() - baseline);
	}
	closeSync(slot);
	expect(wrong).toEqual([]);
	// The mutations must reach both outcomes and many different checks, or they would show little.
	expect(opened).toBeGreaterThan(200);
	expect(reasons.size).toBeGreaterThan(15);
	expect(largest).toBeLessThan(300 * 2 ** 20);
});

test("mutated indices are read or refused in a sentence", async () => {
	await writeSafetensors(join(folder, "a.safetensors"), {
		x: { dtype: "F32", shape: [1], data: Float32Array.of(1) },
		y: { dtype: "F32", shape: [1], data: Float32Array.of(2) },
	});
	const json = JSON.stringify({ metadata: { total_size: 8 }, weight_map: { x: "a.safetensors", y: "a.safetensors" } });
	const original = Buffer.concat([Buffer.alloc(8), Buffer.from(json)]);
	original.writeBigUInt64LE(BigInt(json.length), 0);
	const path = join(folder, "m.safetensors.index.json");
	const random = generator(7);
	const wrong: string[] = [];
	let opened = 0;
	for (let i = 0; i < 1000; i++) {
		writeFileSync(path, mutate(original, random).subarray(8));
		try {
			const file = await openSafetensorsIndex(path);
			opened++;
			await file.close();
		} catch (error) {
			if (!isSentence(error, folder)) wrong.push(`mutation ${i}: ${String(error)}`);
		}
	}
	expect(wrong).toEqual([]);
	expect(opened).toBeGreaterThan(20);
});
