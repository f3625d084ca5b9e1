import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { NpzFile, writeNpz } from "../../src/data/numpy/index.js";
import { openTorch } from "../../src/data/torch/index.js";
import { DreamdistError } from "../../src/errors.js";
import { bytes, type FixtureTensor, pickled, tensorPickle, torchStream, torchZip } from "./pickle-bytes.js";
import { generator } from "./random.js";

let folder: string;
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "dd-torch-fuzz-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const NASTY = [
	"\xff\xff\xff\xff",
	"\x00\x00\x00\x80",
	"\x00".repeat(8),
	"\xff".repeat(8),
	"(",
	".",
	"R",
	"b",
	"Q",
	"t",
	"u",
	"e",
	"cos\nsystem\n",
	"h\x00",
	"J\xff\xff\xff\x7f",
	"\x8b\xff\xff\xff\x7f",
	"X\xff\xff\xff\x7f",
	"]",
	"}",
	"N",
	"PK\x05\x06",
	"2",
	"0",
];

function mutate(original: Buffer, random: (below: number) => number): Buffer {
	let data = Buffer.from(original);
	for (let round = 1 + random(4); round > 0; round--) {
		const at = random(Math.max(1, data.length));
		switch (random(7)) {
			case 0:
				if (data.length > 0) data[at]! ^= 1 << random(8);
				break;
			case 1:
				if (data.length > 0) data[at] = random(256);
				break;
			case 2:
				data = Buffer.concat([data.subarray(0, at), data.subarray(at + 1 + random(30))]);
				break;
			case 3:
				data = Buffer.concat([data.subarray(0, at), bytes(NASTY[random(NASTY.length)]!), data.subarray(at)]);
				break;
			case 4: {
				// Written over rather than between, so that what follows stays in its place.
				const piece = bytes(NASTY[random(NASTY.length)]!);
				piece.copy(data, at);
				break;
			}
			case 5:
				data = data.subarray(0, random(data.length + 1));
				break;
			default: {
				const from = random(Math.max(1, data.length));
				data = Buffer.concat([data.subarray(0, at), data.subarray(from, from + random(60)), data.subarray(at)]);
			}
		}
	}
	return data;
}

const numbers: FixtureTensor = {
	storage: "FloatStorage",
	key: "0",
	data: Buffer.from(Float32Array.from({ length: 12 }, (_, i) => i).buffer),
	count: 12,
	shape: [3, 4],
	strides: [1, 3],
};
const value = (isOld: boolean) =>
	pickled.dict(
		[pickled.text("epoch"), pickled.number(3)],
		[
			pickled.text("state"),
			pickled.dict(
				[pickled.text("w"), tensorPickle(numbers, isOld)],
				[pickled.text("v"), tensorPickle({ ...numbers, shape: [12], strides: [1] }, isOld)],
			),
		],
		[
			pickled.text("p"),
			pickled.call(pickled.global("torch._utils", "_rebuild_parameter"), tensorPickle(numbers, isOld)),
		],
	);

/** An error in a sentence that names the file, and nothing else that goes wrong. */
async function survives(path: string, read: () => Promise<void>): Promise<boolean> {
	try {
		await read();
		return true;
	} catch (error) {
		expect(error).toBeInstanceOf(DreamdistError);
		expect((error as Error).message).toContain(path);
		expect((error as Error).message.length).toBeLessThan(1000);
		return false;
	}
}

const cases: [string, Buffer][] = [
	["archives", torchZip(value(false), [numbers])],
	["deflated archives", torchZip(value(false), [numbers], true)],
	["streams", torchStream(value(true), [numbers])],
];

it.each(cases)("1,500 damaged %s give an error sentence or tensors", async (name, original) => {
	const random = generator(20 + name.length);
	const path = join(folder, "damaged.pt");
	const before = process.memoryUsage().arrayBuffers;
	let read = 0;
	for (let i = 0; i < 1500; i++) {
		writeFileSync(path, mutate(original, random));
		const whole = await survives(path, async () => {
			const torch = await openTorch(path);
			try {
				for (const [tensor, { dtype }] of torch.tensors) if (dtype === "F32") await torch.readF32(tensor);
			} finally {
				await torch.close();
			}
		});
		if (whole) read++;
	}
	// Some are only damaged where nothing looks; were it most, nothing would be checked.
	expect(read).toBeGreaterThan(0);
	expect(read).toBeLessThan(1000);
	expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(200e6);
});

it("1,000 damaged .npz files give an error sentence or arrays", async () => {
	const source = join(folder, "source.npz");
	await writeNpz(source, { means: { shape: [1, 3, 2], data: new Float64Array(6) }, names: { texts: ["a", "bc"] } });
	const original = (await import("node:fs")).readFileSync(source);
	const random = generator(77);
	const path = join(folder, "damaged.npz");
	let read = 0;
	for (let i = 0; i < 1000; i++) {
		writeFileSync(path, mutate(original, random));
		const whole = await survives(path, async () => {
			const npz = await NpzFile.open(path);
			try {
				await npz.numbers("means");
				await npz.texts("names");
			} finally {
				await npz.close();
			}
		});
		if (whole) read++;
	}
	expect(read).toBeGreaterThan(0);
	expect(read).toBeLessThan(500);
});
