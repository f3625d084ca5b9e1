import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openTorch, type TorchFile } from "../../src/data/torch/index.js";
import { bytes, type FixtureTensor, pickled, tensorPickle, torchStream, torchZip, zipBytes } from "./pickle-bytes.js";

let folder: string;
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "dd-torch-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(data: Uint8Array): string {
	const path = join(folder, "file.pt");
	writeFileSync(path, data);
	return path;
}

const raw = (array: ArrayBufferView) => Buffer.from(array.buffer, array.byteOffset, array.byteLength);
const plain = (storage: string, key: string, data: ArrayBufferView, count: number, shape: number[]): FixtureTensor => ({
	storage,
	key,
	data: raw(data),
	count,
	shape,
	strides: shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1)),
});

const six = plain("FloatStorage", "0", Float32Array.from([1, 2, 3, 4, 5, 6]), 6, [2, 3]);
const tensors = {
	weight: six,
	half: plain("HalfStorage", "1", Uint16Array.from([0x3c00, 0xc000]), 2, [2]),
	bfloat: plain("BFloat16Storage", "2", Uint16Array.from([0x3f80, 0xc040]), 2, [2]),
	double: plain("DoubleStorage", "3", Float64Array.from([0.1, -1e300]), 2, [2]),
	long: plain("LongStorage", "4", BigInt64Array.from([-7n, 2n ** 40n]), 2, [2]),
	scalar: plain("FloatStorage", "5", Float32Array.from([8]), 1, []),
	none: plain("FloatStorage", "6", new Float32Array(0), 0, [0, 4]),
};
const entries = (list: Record<string, FixtureTensor>, isOld: boolean) =>
	pickled.dict(
		...Object.entries(list).map(([name, tensor]) => [pickled.text(name), tensorPickle(tensor, isOld)] as const),
	);

async function opened<T>(data: Uint8Array, use: (torch: TorchFile) => Promise<T>): Promise<T> {
	const torch = await openTorch(file(data));
	try {
		return await use(torch);
	} finally {
		await torch.close();
	}
}

describe.each([
	["an archive", torchZip(entries(tensors, false), Object.values(tensors)), true],
	["an archive of deflated members", torchZip(entries(tensors, false), Object.values(tensors), true), false],
	["a stream from before PyTorch 1.6", torchStream(entries(tensors, true), Object.values(tensors)), true],
])("%s", (_, data, isPlain) => {
	it("gives tensors of every type", async () => {
		await opened(data, async (torch) => {
			expect([...torch.tensors.keys()]).toEqual(Object.keys(tensors));
			expect(torch.entry("weight")).toMatchObject({ shape: [2, 3], dtype: "F32" });
			expect(torch.entry("weight").place !== null).toBe(isPlain);
			expect([...(await torch.readF32("weight"))]).toEqual([1, 2, 3, 4, 5, 6]);
			expect([...(await torch.readF32("half"))]).toEqual([1, -2]);
			expect([...(await torch.readF32("bfloat"))]).toEqual([1, -3]);
			expect([...(await torch.readF32("double"))]).toEqual([Math.fround(0.1), -Infinity]);
			expect([...(await torch.readI64("long"))]).toEqual([-7n, 2n ** 40n]);
			expect(torch.entry("scalar").shape).toEqual([]);
			expect([...(await torch.readF32("scalar"))]).toEqual([8]);
			expect([...(await torch.readF32("none"))]).toEqual([]);
			expect(await torch.read("half")).toEqual(Uint8Array.from([0, 0x3c, 0, 0xc0]));
			await expect(torch.readI32("long")).rejects.toThrow(/holds 1099511627776, which does not fit 32 bits/);
			await expect(torch.readF32("long")).rejects.toThrow(/is I64, which cannot be read as floating-point/);
			await expect(torch.readF32("other")).rejects.toThrow(/no tensor "other"; it has 7, such as "weight"/);
		});
	});
});

/** One storage of six numbers, seen as given. */
const view = (shape: number[], strides: number[], offset = 0) => ({ ...six, shape, strides, offset });
const alone = (tensor: FixtureTensor) => torchZip(entries({ x: tensor }, false), [tensor]);

describe("a view of a storage", () => {
	it.each([
		["transposed", view([3, 2], [1, 3]), [1, 4, 2, 5, 3, 6], false],
		["cut", view([2, 2], [3, 1], 1), [2, 3, 5, 6], false],
		["a row", view([3], [1], 3), [4, 5, 6], true],
		["a single side of any stride", view([1, 3], [77, 1], 0), [1, 2, 3], true],
		["repeated", view([2, 2], [0, 1], 4), [5, 6, 5, 6], false],
	])("%s", async (_, tensor, expected, isPlain) => {
		await opened(alone(tensor), async (torch) => {
			expect([...(await torch.readF32("x"))]).toEqual(expected);
			expect(torch.entry("x").place !== null).toBe(isPlain);
		});
	});

	it.each([
		["beyond its storage", view([7], [1]), "goes beyond its storage of 6"],
		["beyond it by its offset", view([3], [1], 4), "goes beyond its storage of 6"],
		["beyond it by its strides", view([2, 2], [5, 1]), "goes beyond its storage of 6"],
		["larger than any file", view([2 ** 30, 2 ** 30], [0, 0]), "larger than any file"],
		["with a negative stride", view([2], [-1], 3), "stride is no tuple of whole numbers"],
		["with other sides than strides", view([2], [1, 1]), "more sides than strides"],
	])("%s is refused", async (_, tensor, message) => {
		await expect(openTorch(file(alone(tensor)))).rejects.toThrow(message);
	});

	it("that repeats without bounds is refused when it is read", async () => {
		await opened(alone(view([2 ** 30, 1], [0, 1])), async (torch) => {
			await expect(torch.readF32("x")).rejects.toThrow(/repeats 1 elements 1073741824 times over/);
		});
	});
});

describe("a file of torch.save", () => {
	it("names tensors by where they are, each once, with cycles", async () => {
		const inner = pickled.dict([pickled.text("w"), tensorPickle(six)]);
		// d = {"a": {"w": x}, "l": [3, x], "n": {0: x}}; d["self"] = d
		const value = bytes(
			"}q\x01(",
			pickled.text("a"),
			inner,
			pickled.text("l"),
			pickled.list(pickled.number(3), tensorPickle(six)),
			pickled.text("n"),
			pickled.dict([pickled.number(0), tensorPickle(six)]),
			pickled.text("self"),
			"h\x01u",
		);
		await opened(torchZip(value, [six]), async (torch) => {
			expect([...torch.tensors.keys()]).toEqual(["a.w", "l.1", "n.0"]);
		});
	});

	it("gives parameters, tensors of subclasses, and tensors over untyped storages", async () => {
		const parameter = pickled.call(
			pickled.global("torch._utils", "_rebuild_parameter"),
			tensorPickle(six),
			bytes(0x88),
			pickled.call(pickled.global("collections", "OrderedDict")),
		);
		const subclass = pickled.call(
			pickled.global("torch._tensor", "_rebuild_from_type_v2"),
			pickled.global("torch._utils", "_rebuild_parameter"),
			pickled.global("torch.nn.parameter", "Parameter"),
			pickled.tuple(tensorPickle(six), bytes(0x88), bytes("N")),
			pickled.dict(),
		);
		const untyped = pickled.call(
			pickled.global("torch._utils", "_rebuild_tensor_v3"),
			bytes(
				pickled.tuple(
					pickled.text("storage"),
					pickled.global("torch.storage", "UntypedStorage"),
					pickled.text("9"),
					pickled.text("cpu"),
					pickled.number(8),
				),
				"Q",
			),
			pickled.number(1),
			pickled.tuple(pickled.number(1)),
			pickled.tuple(pickled.number(1)),
			bytes(0x89),
			bytes("N"),
			pickled.global("torch", "float32"),
		);
		const value = pickled.dict(
			[pickled.text("p"), parameter],
			[pickled.text("s"), subclass],
			[pickled.text("u"), untyped],
		);
		const more = { ...six, key: "9", data: raw(Float32Array.from([1, 9])) };
		await opened(torchZip(value, [six, more]), async (torch) => {
			expect([...(await torch.readF32("p"))]).toEqual([1, 2, 3, 4, 5, 6]);
			expect([...(await torch.readF32("s"))]).toEqual([1, 2, 3, 4, 5, 6]);
			expect([...(await torch.readF32("u"))]).toEqual([9]);
		});
	});

	it.each([
		[
			"something that runs",
			torchZip(pickled.call(pickled.global("posix", "system"), pickled.text("true")), []),
			"it names posix.system, which is not read here",
		],
		["a module", torchZip(pickled.global("torch.nn.modules.linear", "Linear"), []), "torch.nn.modules.linear.Linear"],
		[
			"a known name that is no function",
			torchZip(pickled.call(pickled.global("torch", "FloatStorage")), []),
			"it makes an object of torch.FloatStorage",
		],
		[
			"any class through copyreg",
			torchZip(pickled.call(pickled.global("copyreg", "_reconstructor"), pickled.global("torch", "Tensor")), []),
			"it makes an object of torch.Tensor",
		],
		["an unknown storage", torchZip(bytes(pickled.tuple(pickled.text("module")), "Q"), []), "which is no storage"],
		["a missing storage", torchZip(tensorPickle(six), []), 'no member "archive/data/0"'],
		[
			"a short storage",
			torchZip(tensorPickle(six), [{ ...six, data: six.data.subarray(0, 20) }]),
			'"0" has 20 bytes; 24 are needed',
		],
		[
			"a storage in two ways",
			torchZip(pickled.list(tensorPickle(six), tensorPickle({ ...six, count: 5, shape: [5], strides: [1] })), [six]),
			"in two ways",
		],
		[
			"TorchScript",
			zipBytes([
				{ name: "a/data.pkl", data: bytes("N.") },
				{ name: "a/code/x.py", data: bytes() },
			]),
			"a TorchScript program",
		],
		["an archive of something else", zipBytes([{ name: "a/b", data: bytes() }]), "without a data.pkl"],
		["a cut stream", torchStream(tensorPickle(six, true), [six]).subarray(0, -1), "it may have been cut off"],
		["a plain pickle", pickled.file(pickled.number(3)), "a pickle, but not one of torch.save"],
		["text", Buffer.from("hello"), "neither a zip archive nor a pickle"],
		["nothing", Buffer.alloc(0), "neither a zip archive nor a pickle"],
	])("is refused with %s", async (_, data, message) => {
		const path = file(data);
		await expect(openTorch(path)).rejects.toThrow(message);
		await expect(openTorch(path)).rejects.toThrow(path);
	});

	it("is not made to copy a value again and again", async () => {
		// A text of a million characters, encoded twenty times over, in a few bytes each time.
		const text = bytes(
			pickled.text("x".repeat(2 ** 20)),
			"q\x00",
			pickled.text("latin1"),
			"q\x01",
			pickled.global("_codecs", "encode"),
			"q\x02",
		);
		const again = bytes(..."h\x02(h\x00h\x01tR".repeat(20));
		await expect(openTorch(file(torchZip(bytes("(", text, again, "l"), [])))).rejects.toThrow(/more of its values/);
	});
});
