import { execFileSync } from "node:child_process";
import { mkdtemp, open, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { bf16Bits, bf16FromBits, f16Bits, f16FromBits } from "../../src/data/half.js";
import {
	openSafetensors,
	openSafetensorsIndex,
	openWeights,
	type SafetensorsDtype,
	type SafetensorsFile,
	type TensorData,
	writeSafetensors,
} from "../../src/data/safetensors/index.js";
import { DreamdistError } from "../../src/errors.js";

let folder: string;
beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "dd-safetensors-"));
});
afterEach(() => rm(folder, { recursive: true }));

/** A file made by hand, independent of the writer. */
async function craft(header: unknown, dataBytes: number, name = "x.safetensors"): Promise<string> {
	const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
	const length = Buffer.alloc(8);
	length.writeBigUInt64LE(BigInt(json.byteLength));
	const path = join(folder, name);
	await writeFile(path, Buffer.concat([length, json, Buffer.alloc(dataBytes)]));
	return path;
}

async function failure(action: Promise<unknown>): Promise<DreamdistError> {
	const error = await action.then(
		() => undefined,
		(reason: unknown) => reason,
	);
	expect(error).toBeInstanceOf(DreamdistError);
	return error as DreamdistError;
}

async function using<T>(file: Promise<SafetensorsFile>, use: (file: SafetensorsFile) => Promise<T>): Promise<T> {
	const open = await file;
	try {
		return await use(open);
	} finally {
		await open.close();
	}
}

describe("writing and reading", () => {
	const arrays: Record<SafetensorsDtype, (values: number[]) => ArrayBufferView> = {
		BOOL: (v) => Uint8Array.from(v, (x) => x & 1),
		U8: (v) => Uint8Array.from(v),
		I8: (v) => Int8Array.from(v),
		F8_E4M3: (v) => Uint8Array.from(v),
		F8_E5M2: (v) => Uint8Array.from(v),
		F8_E8M0: (v) => Uint8Array.from(v),
		U16: (v) => Uint16Array.from(v),
		I16: (v) => Int16Array.from(v),
		F16: (v) => Uint16Array.from(v),
		BF16: (v) => Uint16Array.from(v),
		U32: (v) => Uint32Array.from(v),
		I32: (v) => Int32Array.from(v),
		F32: (v) => Float32Array.from(v),
		U64: (v) => BigUint64Array.from(v, BigInt),
		I64: (v) => BigInt64Array.from(v, BigInt),
		F64: (v) => Float64Array.from(v),
		C64: (v) => Float32Array.from(v.flatMap((x) => [x, -x])),
	};
	const bytesOf = (view: ArrayBufferView) => Buffer.from(view.buffer, view.byteOffset, view.byteLength);
	const tensor = fc
		.tuple(
			fc.constantFrom(...(Object.keys(arrays) as SafetensorsDtype[])),
			fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 }),
		)
		.chain(([dtype, shape]) => {
			const size = shape.reduce((a, b) => a * b, 1);
			return fc
				.array(fc.nat(127), { minLength: size, maxLength: size })
				.map((values) => ({ dtype, shape, data: arrays[dtype](values) }));
		});
	const names = fc.string({ unit: "binary" }).filter((name) => name !== "__metadata__");

	test("any tensors and metadata come back as they were", async () => {
		const path = join(folder, "any.safetensors");
		await fc.assert(
			fc.asyncProperty(
				fc.uniqueArray(fc.tuple(names, tensor), { selector: ([name]) => name, maxLength: 6 }),
				fc.uniqueArray(fc.tuple(fc.string({ unit: "binary" }), fc.string({ unit: "binary" })), {
					selector: ([key]) => key,
					maxLength: 4,
				}),
				async (tensors, metadata) => {
					await writeSafetensors(path, new Map(tensors), { metadata: new Map(metadata) });
					await using(openSafetensors(path), async (file) => {
						expect(new Map(file.metadata)).toEqual(new Map(metadata));
						expect([...file.tensors.keys()].sort()).toEqual(tensors.map(([name]) => name).sort());
						const raw = await readFile(path);
						for (const [name, { dtype, shape, data }] of tensors) {
							const entry = file.entry(name);
							expect(entry).toMatchObject({ name, dtype, shape, path, byteLength: data.byteLength });
							expect(Buffer.from(await file.read(name)).equals(bytesOf(data))).toBe(true);
							const place = raw.subarray(entry.byteOffset, entry.byteOffset + entry.byteLength);
							expect(place.equals(bytesOf(data))).toBe(true);
						}
					});
				},
			),
			{ numRuns: 200 },
		);
	});

	test("the same tensors give the same bytes whatever their order, each aligned to its elements", async () => {
		const a: TensorData = { dtype: "U8", shape: [3], data: Uint8Array.of(1, 2, 3) };
		const b: TensorData = { dtype: "F64", shape: [], data: Float64Array.of(0.1) };
		const c: TensorData = { dtype: "F16", shape: [1], data: Uint16Array.of(f16Bits(1)) };
		await writeSafetensors(join(folder, "1"), { a, b, c });
		await writeSafetensors(join(folder, "2"), { c, a, b });
		expect(await readFile(join(folder, "1"))).toEqual(await readFile(join(folder, "2")));
		await using(openSafetensors(join(folder, "1")), async (file) => {
			expect([...file.tensors.keys()]).toEqual(["b", "c", "a"]);
			expect(file.entry("b").byteOffset % 8).toBe(0);
		});
	});

	test("the layout is the format's own", async () => {
		const path = join(folder, "layout");
		const data = Float32Array.of(1.5, -2);
		await writeSafetensors(path, { w: { dtype: "F32", shape: [2, 1], data } }, { metadata: { k: "v" } });
		const bytes = await readFile(path);
		const length = Number(bytes.readBigUInt64LE(0));
		expect(length % 8).toBe(0);
		expect(
			bytes
				.subarray(8, 8 + length)
				.toString()
				.trimEnd(),
		).toBe('{"__metadata__":{"k":"v"},"w":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}');
		expect(bytes.readFloatLE(8 + length)).toBe(1.5);
		expect(bytes.readFloatLE(12 + length)).toBe(-2);
		expect(bytes.byteLength).toBe(16 + length);
	});

	test("data made when their turn comes, one at a time", async () => {
		const path = join(folder, "lazy");
		const order: string[] = [];
		const make = (name: string, value: number) => async () => {
			order.push(name);
			return Float32Array.of(value);
		};
		await writeSafetensors(path, {
			z: { dtype: "F32", shape: [1], data: make("z", 1) },
			a: { dtype: "F32", shape: [1], data: make("a", 2) },
		});
		expect(order).toEqual(["a", "z"]);
		await using(openSafetensors(path), async (file) => expect([...(await file.readF32("z"))]).toEqual([1]));
	});

	test("a failure in the middle leaves no file", async () => {
		const boom = new Error("boom");
		const late = () => {
			throw boom;
		};
		const write = writeSafetensors(join(folder, "x"), {
			a: { dtype: "F32", shape: [1], data: Float32Array.of(1) },
			b: { dtype: "F32", shape: [1], data: late },
		});
		await expect(write).rejects.toBe(boom);
		const short = await failure(
			writeSafetensors(join(folder, "x"), { w: { dtype: "F32", shape: [2], data: () => new Float32Array(1) } }),
		);
		expect(short.message).toBe('tensor "w" is F32 [2], 8 bytes, but its data have 4 bytes');
		expect(await readdir(folder)).toEqual([]);
	});

	test.each([
		[{ w: { dtype: "F32", shape: [2], data: new Float32Array(3) } }, "F32 [2], 8 bytes, but its data have 12 bytes"],
		[{ w: { dtype: "F16", shape: [2], data: new Float32Array(1) } }, "its data are a Float32Array; convert them first"],
		[
			{ w: { dtype: "F32", shape: [-1], data: new Float32Array(1) } },
			"shape [-1], which is not a list of whole numbers",
		],
		[{ w: { dtype: "F31", shape: [1], data: new Float32Array(1) } }, 'unknown dtype "F31"'],
		[{ __metadata__: { dtype: "F32", shape: [1], data: new Float32Array(1) } }, '"__metadata__"'],
	])("refuses to write %o", async (tensors, message) => {
		const error = await failure(writeSafetensors(join(folder, "x"), tensors as Record<string, TensorData>));
		expect(error.code).toBe("INVALID_ARGUMENT");
		expect(error.message).toContain(message);
		expect(await readdir(folder)).toEqual([]);
	});
});

describe("typed readers", () => {
	test("floats of every width become float32, over several pieces", async () => {
		const size = 2 ** 20 + 3;
		const value = (i: number) => Math.fround(Math.sin(i) * 10);
		const f64 = Float64Array.from({ length: size }, (_, i) => value(i));
		const path = join(folder, "floats");
		await writeSafetensors(path, {
			f16: { dtype: "F16", shape: [size], data: Uint16Array.from(f64, f16Bits) },
			bf16: { dtype: "BF16", shape: [size], data: Uint16Array.from(f64, bf16Bits) },
			f32: { dtype: "F32", shape: [size], data: Float32Array.from(f64) },
			f64: { dtype: "F64", shape: [size], data: f64 },
			scalar: { dtype: "F64", shape: [], data: Float64Array.of(0.1) },
			none: { dtype: "F16", shape: [0, 5], data: new Uint16Array(0) },
		});
		await using(openSafetensors(path), async (file) => {
			const same = async (name: string, expected: Float32Array) =>
				Buffer.from((await file.readF32(name)).buffer).equals(Buffer.from(expected.buffer));
			expect(await same("f32", Float32Array.from(f64))).toBe(true);
			expect(await same("f64", Float32Array.from(f64))).toBe(true);
			expect(
				await same(
					"f16",
					Float32Array.from(f64, (x) => f16FromBits(f16Bits(x))),
				),
			).toBe(true);
			expect(
				await same(
					"bf16",
					Float32Array.from(f64, (x) => bf16FromBits(bf16Bits(x))),
				),
			).toBe(true);
			expect([...(await file.readF32("scalar"))]).toEqual([Math.fround(0.1)]);
			expect(await file.readF32("none")).toEqual(new Float32Array(0));
		});
	});

	test("integers of every width become int32 or int64", async () => {
		const path = join(folder, "integers");
		await writeSafetensors(path, {
			bool: { dtype: "BOOL", shape: [2], data: Uint8Array.of(0, 1) },
			u8: { dtype: "U8", shape: [2], data: Uint8Array.of(0, 255) },
			i8: { dtype: "I8", shape: [2], data: Int8Array.of(-128, 127) },
			u16: { dtype: "U16", shape: [1], data: Uint16Array.of(65535) },
			i16: { dtype: "I16", shape: [1], data: Int16Array.of(-32768) },
			u32: { dtype: "U32", shape: [1], data: Uint32Array.of(7) },
			i32: { dtype: "I32", shape: [2], data: Int32Array.of(-(2 ** 31), 2 ** 31 - 1) },
			i64: { dtype: "I64", shape: [2], data: BigInt64Array.of(-5n, 77n) },
			u64: { dtype: "U64", shape: [1], data: BigUint64Array.of(9n) },
			big: { dtype: "I64", shape: [1], data: BigInt64Array.of(2n ** 40n) },
			f32: { dtype: "F32", shape: [1], data: Float32Array.of(1) },
		});
		await using(openSafetensors(path), async (file) => {
			const expected = {
				bool: [0, 1],
				u8: [0, 255],
				i8: [-128, 127],
				u16: [65535],
				i16: [-32768],
				u32: [7],
				i32: [-(2 ** 31), 2 ** 31 - 1],
				i64: [-5, 77],
				u64: [9],
			};
			for (const [name, values] of Object.entries(expected)) {
				expect([...(await file.readI32(name))]).toEqual(values);
				expect([...(await file.readI64(name))]).toEqual(values.map(BigInt));
			}
			expect([...(await file.readI64("big"))]).toEqual([2n ** 40n]);
			expect((await failure(file.readI32("big"))).message).toContain("holds 1099511627776, which does not fit 32 bits");
			expect((await failure(file.readI32("f32"))).message).toContain("is F32, which cannot be read as whole numbers");
			expect((await failure(file.readF32("i64"))).message).toContain("is I64, which cannot be read as floating-point");
		});
	});

	test("an unknown tensor, a closed file and a file cut while open are sentences", async () => {
		const path = join(folder, "w");
		await writeSafetensors(path, { a: { dtype: "F32", shape: [4], data: new Float32Array(4) } });
		const file = await openSafetensors(path);
		expect((await failure(file.read("b"))).message).toBe(`${path} has no tensor "b"; it has 1, such as "a"`);
		await truncate(path, 70);
		const cut = await failure(file.readF32("a"));
		expect(cut.code).toBe("FILE_IO");
		expect(cut.message).toContain(path);
		await file.close();
		await file.close();
		expect((await failure(file.read("a"))).message).toContain("was closed");
	});

	test("a tensor beyond 4 GiB in a sparse file is read at its place", async () => {
		const big = 2 ** 32 + 2 ** 20;
		const header = {
			filler: { dtype: "U8", shape: [big], data_offsets: [0, big] },
			tail: { dtype: "F32", shape: [2], data_offsets: [big, big + 8] },
		};
		const path = await craft(header, 0);
		const handle = await open(path, "r+");
		const start = (await handle.stat()).size;
		await handle.write(Float32Array.of(3, 4), 0, 8, start + big);
		await handle.close();
		await using(openSafetensors(path), async (file) => {
			expect(file.entry("tail").byteOffset).toBe(start + big);
			expect([...(await file.readF32("tail"))]).toEqual([3, 4]);
			expect((await failure(file.readF32("filler"))).code).toBe("TENSOR_DTYPE");
		});
	});
});

describe("a header is refused in a sentence that names the file and the tensor", () => {
	const f32 = (begin: number, end: number, shape: unknown = [(end - begin) / 4]) => ({
		dtype: "F32",
		shape,
		data_offsets: [begin, end],
	});
	test.each<[string, unknown, number, string]>([
		["overlap", { a: f32(0, 8), b: f32(4, 12) }, 12, 'tensors "a" and "b" overlap'],
		["twice the same place", { a: f32(0, 8), b: f32(0, 8) }, 8, 'tensors "a" and "b" overlap'],
		["a hole", { a: f32(0, 8), b: f32(12, 16) }, 16, '4 bytes before tensor "b" belong to no tensor'],
		["a hole at the start", { a: f32(4, 8) }, 8, '4 bytes before tensor "a"'],
		["bytes at the end", { a: f32(0, 8) }, 9, "its last 1 bytes belong to no tensor"],
		["out of range", { a: f32(0, 8) }, 7, 'tensor "a" lies at bytes 0 to 8 of 7; the file may have been cut off'],
		["backwards", { a: f32(8, 0, [2]) }, 8, 'tensor "a" lies at bytes 8 to 0'],
		["size", { a: f32(0, 8, [3]) }, 8, 'tensor "a" is F32 [3], which needs 12 bytes, but has 8'],
		["huge shape", { a: f32(0, 8, [2 ** 40, 2 ** 40]) }, 8, "which needs more than any file holds, but has 8"],
		["zero times huge", { a: f32(0, 8, [0, 2 ** 52, 2 ** 52]) }, 8, "which needs 0 bytes, but has 8"],
		["negative side", { a: f32(0, 8, [-2]) }, 8, 'tensor "a" has a shape that is not a list of whole numbers'],
		["fraction", { a: f32(0, 8, [1.5]) }, 8, "not a list of whole numbers"],
		["no shape", { a: f32(0, 8, null) }, 8, "not a list of whole numbers"],
		["dtype", { a: { ...f32(0, 8), dtype: "F33" } }, 8, 'tensor "a" has dtype "F33"; known are BOOL'],
		["inherited dtype", { a: { ...f32(0, 8), dtype: "toString" } }, 8, 'tensor "a" has dtype "toString"'],
		["no dtype", { a: { ...f32(0, 8), dtype: undefined } }, 8, 'tensor "a" has dtype nothing'],
		["offsets", { a: { ...f32(0, 8), data_offsets: [0, 4, 8] } }, 8, "data_offsets that are not two numbers"],
		["not an object", { a: 3 }, 0, 'tensor "a" is described by something other than an object'],
		["array", "[]", 0, "its header is not a JSON object"],
		["broken", '{"a"', 0, "its header is not valid JSON"],
		["repeated name", '{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\\u0061" : {}}', 0, 'names "a" twice'],
		["metadata", { __metadata__: { k: 3 } }, 0, 'its metadata "k" is not text'],
		["metadata list", { __metadata__: [] }, 0, "its __metadata__ is not an object"],
	])("%s", async (_, header, dataBytes, message) => {
		const path = await craft(header, dataBytes);
		const error = await failure(openSafetensors(path));
		expect(error.code).toBe("BAD_SAFETENSORS");
		expect(error.message.startsWith(`${path} is not a valid safetensors file: `)).toBe(true);
		expect(error.message).toContain(message);
	});

	test("files of other kinds say what they are", async () => {
		const cases: [string | Buffer, string][] = [
			["", "it has 0 bytes"],
			["abc", "it has 3 bytes"],
			["version https://git-lfs.github.com/spec/v1\n", "git lfs pull"],
			["PK\x03\x04\x14\0\0\0\x08\x08", "PyTorch pickle"],
			["GGUF\x03\0\0\0", "GGUF"],
			["<!DOCTYPE html><html>", "web page"],
			[Buffer.alloc(20, 0xff), "claims 18446744073709551615 bytes but only 12 follow"],
			[Buffer.alloc(8), "its header is not a JSON object"],
			[Buffer.from("\x02\0\0\0\0\0\0\0{\xff", "latin1"), "not UTF-8"],
		];
		for (const [contents, message] of cases) {
			const path = join(folder, "other.safetensors");
			await writeFile(path, contents);
			expect((await failure(openSafetensors(path))).message).toContain(message);
		}
	});

	test("no file, a folder, a pipe", async () => {
		expect((await failure(openSafetensors(join(folder, "none")))).message).toBe(
			`cannot read ${join(folder, "none")}: it does not exist`,
		);
		expect((await failure(openSafetensors(folder))).message).toContain("it is a folder, not a file");
		if (process.platform !== "win32") {
			expect((await failure(openSafetensors("/dev/zero"))).message).toContain("a pipe or device");
			const pipe = join(folder, "pipe");
			execFileSync("mkfifo", [pipe]);
			expect((await failure(openSafetensors(pipe))).message).toContain("a pipe or device");
		}
	});

	test("names with odd keys of JavaScript objects are names like others", async () => {
		const path = await craft('{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1);
		await using(openSafetensors(path), async (file) => {
			expect([...file.tensors.keys()]).toEqual(["__proto__"]);
			expect([...(await file.readI32("__proto__"))]).toEqual([0]);
			expect((await failure(file.read("constructor"))).code).toBe("TENSOR_NOT_FOUND");
		});
	});
});

describe("sharded weights", () => {
	const shard = (value: number): TensorData => ({ dtype: "F32", shape: [1], data: Float32Array.of(value) });
	const indexName = "model.safetensors.index.json";
	const index = (map: unknown, metadata?: unknown) =>
		writeFile(join(folder, indexName), JSON.stringify({ metadata, weight_map: map }));

	test("are read as one set, each tensor from the shard that the index names", async () => {
		await writeSafetensors(join(folder, "a.safetensors"), { x: shard(1), both: shard(2), extra: shard(0) });
		await writeSafetensors(join(folder, "b.safetensors"), { y: shard(3), both: shard(4) });
		await index({ x: "a.safetensors", y: "b.safetensors", both: "b.safetensors" }, { total_size: 12, format: "pt" });
		await using(openWeights(folder), async (file) => {
			expect([...file.tensors.keys()].sort()).toEqual(["both", "x", "y"]);
			expect(file.paths).toEqual([join(folder, "a.safetensors"), join(folder, "b.safetensors")]);
			expect([...file.metadata]).toEqual([
				["total_size", "12"],
				["format", "pt"],
			]);
			const values = await Promise.all(["x", "y", "both"].map((name) => file.readF32(name)));
			expect(values.map((v) => v[0])).toEqual([1, 3, 4]);
			expect(file.entry("y").path).toBe(join(folder, "b.safetensors"));
		});
	});

	test("an index that does not fit its shards is refused", async () => {
		await writeSafetensors(join(folder, "a.safetensors"), { x: shard(1) });
		const path = join(folder, indexName);
		await index({ x: "a.safetensors", y: "a.safetensors" });
		expect((await failure(openSafetensorsIndex(path))).message).toContain(
			'it places tensor "y" in a.safetensors, which does not hold it',
		);
		await index({ x: "gone.safetensors" });
		expect((await failure(openSafetensorsIndex(path))).message).toBe(
			`cannot read ${join(folder, "gone.safetensors")}: it does not exist, but ${indexName} lists it; the download is not complete`,
		);
		for (const outside of ["../a.safetensors", "/etc/passwd", "sub/a.safetensors", "a.bin", 3]) {
			await index({ x: outside });
			expect((await failure(openSafetensorsIndex(path))).message).toContain("is not a safetensors file beside it");
		}
		await index(undefined);
		expect((await failure(openSafetensorsIndex(path))).message).toContain("it has no weight_map");
		await writeFile(path, "{");
		expect((await failure(openSafetensorsIndex(path))).message).toContain("it is not JSON text");
	});

	test("openWeights finds the file of a folder, or says what is there instead", async () => {
		await writeFile(join(folder, "pytorch_model.bin"), "");
		expect((await failure(openWeights(folder))).message).toContain("no safetensors file, only pytorch_model.bin");
		await writeSafetensors(join(folder, "odd.safetensors"), { x: shard(1) });
		const value = (options = {}, path = folder) =>
			using(openWeights(path, options), async (file) => (await file.readF32("x"))[0]);
		expect(await value()).toBe(1);
		await writeSafetensors(join(folder, "odd2.safetensors"), { x: shard(2) });
		expect((await failure(openWeights(folder))).message).toContain(
			"name one of them: odd.safetensors, odd2.safetensors",
		);
		expect(await value({}, join(folder, "odd2.safetensors"))).toBe(2);
		await writeSafetensors(join(folder, "diffusion_pytorch_model.safetensors"), { x: shard(3) });
		expect(await value()).toBe(3);
		expect((await failure(openWeights(folder, { variant: "fp16" }))).message).toContain('none of variant "fp16"');
		await writeSafetensors(join(folder, "model.fp16.safetensors"), { x: shard(4) });
		expect(await value({ variant: "fp16" })).toBe(4);
		expect((await failure(openWeights(join(folder, "no")))).message).toContain("it does not exist");
	});
});
