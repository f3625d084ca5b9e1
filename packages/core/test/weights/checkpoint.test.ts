import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
	Checkpoint,
	type Device,
	encodeF16,
	FrozenTensor,
	openDevice,
	WeightSet,
	writeSafetensors,
} from "../../src/index.js";
import { pickled, tensorPickle, torchStream, torchZip } from "../data/pickle-bytes.js";

describe("checkpoints", () => {
	let device: Device;
	const folder = mkdtempSync(join(tmpdir(), "dreamdist-checkpoint-"));
	const numbers = [1, -0.5, 0.25, 3.140625];
	beforeAll(async () => {
		device = await openDevice("cpu", { threads: 1 });
		await writeSafetensors(join(folder, "model.safetensors"), {
			// One byte first, so that what follows is not aligned.
			flag: { dtype: "BOOL", shape: [1], data: new Uint8Array(1) },
			single: { dtype: "F32", shape: [4], data: Float32Array.from(numbers) },
			half: { dtype: "F16", shape: [2, 2], data: encodeF16(Float32Array.from(numbers)) },
			double: { dtype: "F64", shape: [4], data: Float64Array.from(numbers) },
			count: { dtype: "I32", shape: [2], data: Int32Array.of(7, -7) },
			ids: { dtype: "I64", shape: [1], data: BigInt64Array.of(1n) },
		});
	});
	afterAll(() => {
		device.dispose();
		rmSync(folder, { recursive: true });
	});

	const readBack = async (checkpoint: Checkpoint) => {
		const set = new WeightSet(checkpoint.tensors, "test");
		const program = await device.compile((graph) => {
			const weights = set.open(graph);
			return Object.fromEntries([...checkpoint.tensors].map(([name, { shape }]) => [name, weights.get(name, shape)]));
		});
		const results = await program.run();
		program.dispose();
		return Object.fromEntries(Object.entries(results).map(([name, data]) => [name, [...data]]));
	};

	it("name the one that is wrong where several are packed as one", async () => {
		const path = join(folder, "wrong.safetensors");
		await writeSafetensors(path, {
			good: { dtype: "F32", shape: [1, 2], data: Float32Array.of(1, 2) },
			bad: { dtype: "F32", shape: [1, 2], data: Float32Array.of(3, Number.NaN) },
		});
		const checkpoint = await Checkpoint.open(path);
		const set = new WeightSet(checkpoint.tensors, "test");
		const parts = ["good", "bad"].map((name) => ({ name, shape: [1, 2] }));
		const program = device.compile((graph) => ({ y: set.open(graph).stack(parts)! }));
		await expect(program.then((made) => made.run())).rejects.toThrow(
			/weight "bad" can't be used: 1 of its values are infinite or not a number/,
		);
		checkpoint.dispose();
	});

	it("are mapped, in their own precision, and what no program reads is only named", async () => {
		const checkpoint = await Checkpoint.open(folder);
		expect(Object.fromEntries([...checkpoint.tensors].map(([name, { dtype }]) => [name, dtype]))).toEqual({
			single: "f32",
			half: "f16",
			double: "f32",
			count: "i32",
		});
		expect([...checkpoint.others].sort()).toEqual(["flag", "ids"]);
		expect("mapping" in checkpoint.tensors.get("half")!.source).toBe(true);
		expect(await readBack(checkpoint)).toEqual({ single: numbers, half: numbers, double: numbers, count: [7, -7] });
		checkpoint.dispose();
	});

	it("are stacked as they are packed, in their own precision", async () => {
		const checkpoint = await Checkpoint.open(folder);
		const set = new WeightSet(checkpoint.tensors, "test");
		const parts = [
			{ name: "half", shape: [2, 2] },
			{ name: "half", shape: [2, 2] },
		];
		const program = await device.compile((graph) => ({ y: set.open(graph).stack(parts) }));
		expect(program.outputs.y.dtype).toBe("f16");
		expect([...(await program.run()).y]).toEqual([...numbers, ...numbers]);
		program.dispose();
		checkpoint.dispose();
	});

	it("are held in another precision on request", async () => {
		const checkpoint = await Checkpoint.open(folder, { dtype: "bf16" });
		expect(checkpoint.tensors.get("half")!.dtype).toBe("bf16");
		const { single, half, count } = await readBack(checkpoint);
		// bf16 keeps 8 bits: 3.140625 is one of its numbers.
		expect([single, half, count]).toEqual([numbers, numbers, [7, -7]]);
		checkpoint.dispose();
	});

	it("name a weight that is not finite", async () => {
		const path = join(folder, "broken.safetensors");
		const data = new Float32Array(5000);
		data[4097] = Number.NaN;
		data[1] = Number.NEGATIVE_INFINITY;
		await writeSafetensors(path, { "mid_block.bias": { dtype: "F32", shape: [5000], data } });
		const checkpoint = await Checkpoint.open(path);
		await expect(readBack(checkpoint)).rejects.toThrow(
			'weight "mid_block.bias" can\'t be used: 2 of its values are infinite or not a number',
		);
		checkpoint.dispose();
	});

	it("need not be waited for when loading is stopped", async () => {
		const slow = new FrozenTensor("slow", [1], "f32", { read: () => new Promise(() => undefined) });
		const controller = new AbortController();
		const compiling = device.compile((graph) => ({ y: graph.frozen(slow) }), { signal: controller.signal });
		setTimeout(() => controller.abort(), 10);
		await expect(compiling).rejects.toThrow("abort");
		const late = device.compile((graph) => ({ y: graph.frozen(slow) }), { signal: AbortSignal.abort() });
		await expect(late).rejects.toThrow("abort");
	});

	it("are read from files of torch.save too: mapped where they lie as they are, gathered where not", async () => {
		const data = Buffer.from(Float32Array.from([1, -0.5, 0.25, 3.140625]).buffer);
		const tensor = { storage: "FloatStorage", key: "0", data, count: 4, shape: [2, 2], strides: [2, 1] };
		const value = (isOld: boolean) =>
			pickled.dict(
				[pickled.text("w"), tensorPickle(tensor, isOld)],
				[pickled.text("t"), tensorPickle({ ...tensor, strides: [1, 2] }, isOld)],
			);
		const expected = { w: numbers, t: [1, 0.25, -0.5, 3.140625] };
		for (const file of [torchZip(value(false), [tensor]), torchStream(value(true), [tensor])]) {
			const path = join(folder, "model.pth");
			writeFileSync(path, file);
			for (const dtype of [undefined, "f16"] as const) {
				const checkpoint = await Checkpoint.open(path, { dtype });
				expect(await readBack(checkpoint)).toEqual(expected);
				expect("mapping" in checkpoint.tensors.get("w")!.source).toBe(dtype === undefined);
				expect("mapping" in checkpoint.tensors.get("t")!.source).toBe(false);
				checkpoint.dispose();
			}
		}
		writeFileSync(join(folder, "bad.pth"), "hello");
		await expect(Checkpoint.open(join(folder, "bad.pth"))).rejects.toThrow(/bad.pth can't be read as a PyTorch file/);
	});

	it("report a file that is missing or no safetensors file", async () => {
		await expect(Checkpoint.open(join(folder, "none.safetensors"))).rejects.toThrow("it does not exist");
		const path = join(folder, "text.safetensors");
		writeFileSync(path, "version https://git-lfs.github.com/spec/v1\n");
		await expect(Checkpoint.open(path)).rejects.toThrow("Git LFS pointer");
	});
});
