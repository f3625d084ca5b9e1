// Tuning on the emulated device: its clock says nothing about cards, but the way from a measurement to a program is the same.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { emulatedAddonPath, emulatedReason } from "@dreamdist/native-cuda";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
	conv2d,
	type Device,
	encodeBf16,
	FrozenTensor,
	type Graph,
	gradients,
	linear,
	type Measure,
	matmul,
	measuredOnDevice,
	openDevice,
	sum,
	Tuning,
	TuningError,
	tunableCalls,
	tune,
} from "../../src/index.js";
import { choiceName } from "../../src/tune/tuning.js";
import { TestRandom } from "../random.js";

const absent = emulatedAddonPath() === null;
if (absent) console.log(`Skipped: ${emulatedReason()}.`);

const normal = (count: number, seed: number) => new TestRandom(seed).normals(count);

const [ROWS, DEPTH, COLUMNS] = [70, 600, 66] as const;

describe.skipIf(absent)("tuning", () => {
	let device: Device;
	let folder: string;
	beforeAll(async () => {
		folder = mkdtempSync(join(tmpdir(), "dreamdist-tuning-"));
		device = await openDevice("cuda-emulated", { threads: 1, tuning: folder });
	});
	afterAll(() => {
		device.dispose();
		rmSync(folder, { recursive: true });
	});

	const a = normal(ROWS * DEPTH, 1);
	const b = normal(DEPTH * COLUMNS, 2);
	const product = (name?: string) =>
		device.compile((graph) => ({ y: matmul(graph.input("a", [ROWS, DEPTH]), graph.input("b", [DEPTH, COLUMNS])) }), {
			...(name !== undefined && { name }),
		});

	it("finds the calls of compiled programs that can be computed in several ways", async () => {
		const weight = new FrozenTensor("w", [8, 4, 3, 3], "f32", { data: normal(8 * 4 * 9, 3) });
		const calls = await tunableCalls(device, async () => {
			(await product()).dispose();
			(await product()).dispose();
			const program = await device.compile((graph) => {
				const x = graph.input("x", [1, 9, 7, 4]);
				return { dx: gradients(sum(conv2d(x, graph.frozen(weight), { padding: 1 })), [x])[0]! };
			});
			program.dispose();
		});
		expect(calls.map(({ shape, uses }) => [shape.kernel, uses])).toEqual([
			["matmul", 2],
			["conv2d_input_grad", 1],
		]);
	});

	it("tells products in tf32 from those in f32", async () => {
		const build = (graph: Graph) => ({
			y: matmul(graph.input("a", [ROWS, DEPTH]), graph.input("b", [DEPTH, COLUMNS])),
		});
		const calls = await tunableCalls(device, async () => {
			for (const tf32 of [false, true]) (await device.compile(build, { tf32 })).dispose();
		});
		expect(calls.map(({ shape, uses }) => [shape.kernel, uses])).toEqual([
			["matmul", 1],
			["matmul_tf32", 1],
		]);
	});

	it("keeps what is fastest in a file, and programs compiled afterwards use it", async () => {
		const plain = await product("plain");
		const wanted = (await plain.run({ a, b })).y;
		expect(plain.toString()).not.toContain("64x64/3");
		plain.dispose();
		// A clock on which three parts win.
		const measure: Measure = async (_device, call, choice) => {
			expect(call.kernel).toBe("matmul");
			return choice === 0 ? 100 : choiceName(choice) === "64x64/3" ? 60 : 97.5;
		};
		const calls = await tunableCalls(device, async () => (await product()).dispose());
		const seen: string[] = [];
		const results = await tune(device, calls, {
			measure,
			onResult: ({ label, choice }, done, total) => seen.push(`${label} ${choice} ${done}/${total}`),
		});
		expect(results).toHaveLength(1);
		expect(results[0]).toMatchObject({ choice: "64x64/3", microseconds: 60, estimated: 100, uses: 1 });
		expect(Object.keys(results[0]!.measured)).toEqual(
			expect.arrayContaining(["128x128/1", "128x128/4", "64x64/1", "64x64/4"]),
		);
		expect(seen).toEqual([expect.stringMatching(/ 64x64\/3 1\/1$/)]);
		expect(readdirSync(folder)).toEqual(["cuda-emulated.json"]);
		expect(JSON.parse(readFileSync(join(folder, "cuda-emulated.json"), "utf8"))).toMatchObject({
			format: 1,
			card: "cuda-emulated",
		});

		const tuned = await product("tuned");
		expect(tuned.toString()).toContain("(64x64/3)");
		const { y } = await tuned.run({ a, b });
		tuned.dispose();
		let [difference, size] = [0, 0];
		for (const [i, value] of y.entries()) {
			difference += (value - wanted[i]!) ** 2;
			size += wanted[i]! ** 2;
		}
		expect(Math.sqrt(difference / size)).toBeLessThan(1e-6);
		expect([...y]).not.toEqual([...wanted]);

		// What is known is not measured again, unless asked for.
		expect(await tune(device, calls, { measure })).toEqual([]);
		expect(await tune(device, calls, { measure: async () => 5, again: true })).toMatchObject([{ choice: null }]);
	});

	it("computes the same with every choice, as measured on the device itself", async () => {
		const [LINES, DEEP, COUNT] = [3, 256, 5] as const;
		const w = normal(COUNT * DEEP, 4);
		const weight = new FrozenTensor("w", [COUNT, DEEP], "f32", { data: w });
		const x = normal(LINES * DEEP, 5);
		const layer = () =>
			device.compile((graph) => ({ y: linear(graph.input("x", [LINES, DEEP]), graph.frozen(weight)) }), {
				name: "layer",
			});
		const [one] = await tunableCalls(device, async () => (await layer()).dispose());
		const [result] = await tune(device, [one!], { again: true, measure: measuredOnDevice(0) });
		const choices = Object.keys(result!.measured);
		expect(choices).toEqual(["128x128/1", "128x128/2", "64x64/1", "64x64/2"]);
		for (const microseconds of [result!.estimated, ...Object.values(result!.measured)])
			expect(microseconds).toBeGreaterThan(0);
		const wanted = Array.from({ length: LINES * COUNT }, (_, i) => {
			const [row, column] = [Math.floor(i / COUNT), i % COUNT];
			let total = 0;
			for (let k = 0; k < DEEP; k++) total += x[row * DEEP + k]! * w[column * DEEP + k]!;
			return total;
		});
		for (const choice of choices) {
			device.tuning.record(one!.shape, { choice, microseconds: 1, estimated: 2 });
			const program = await layer();
			expect(program.toString()).toContain(`(${choice})`);
			const { y } = await program.run({ x }, { poison: true });
			program.dispose();
			for (const [i, value] of wanted.entries()) expect(Math.abs(y[i]! - value)).toBeLessThan(1e-4);
		}
	});

	it("chooses among the tiles of tensor cores for 16-bit operands", async () => {
		const [LINES, DEEP, COUNT] = [5, 512, 24] as const;
		const w = normal(COUNT * DEEP, 4);
		const x = normal(LINES * DEEP, 5);
		const weight = new FrozenTensor("w", [COUNT, DEEP], "bf16", { data: encodeBf16(w) });
		const layer = () =>
			device.compile((graph) => ({ y: linear(graph.input("x", [LINES, DEEP]), graph.frozen(weight)) }), {
				activations: "bf16",
			});
		const [one] = await tunableCalls(device, async () => (await layer()).dispose());
		expect(one!.shape.dtypes.slice(0, 2)).toEqual(["bf16", "bf16"]);
		const [result] = await tune(device, [one!], { again: true, measure: async () => 1 });
		const choices = Object.keys(result!.measured);
		expect(choices).toEqual(["128x128/1", "128x128/2", "64x160/1", "64x160/2", "64x64/1", "64x64/2"]);
		for (const choice of choices) {
			device.tuning.record(one!.shape, { choice, microseconds: 1, estimated: 2 });
			const program = await layer();
			expect(program.toString()).toContain(`(${choice})`);
			const { y } = await program.run({ x }, { poison: true });
			program.dispose();
			for (let i = 0; i < LINES * COUNT; i++) {
				let [wanted, size] = [0, 0];
				for (let k = 0; k < DEEP; k++) {
					const term = x[Math.floor(i / COUNT) * DEEP + k]! * w[(i % COUNT) * DEEP + k]!;
					wanted += term;
					size += Math.abs(term);
				}
				expect(Math.abs(y[i]! - wanted)).toBeLessThan(size * 2 ** -7);
			}
		}
	});

	it("does not take a choice that the engine does not offer", async () => {
		const [one] = await tunableCalls(device, async () => (await product()).dispose());
		for (const choice of ["96x96/2", "64x64/200", "64x64/0", "fast"]) {
			device.tuning.record(one!.shape, { choice, microseconds: 1, estimated: 2 });
			const program = await product();
			expect(program.toString()).not.toContain("(");
			program.dispose();
		}
	});

	it("reads its file when a device is opened, and refuses one that is damaged in a sentence", async () => {
		const [one] = await tunableCalls(device, async () => (await product()).dispose());
		const tuning = Tuning.load("cuda-emulated", folder);
		expect(tuning.size).toBeGreaterThan(0);
		tuning.record(one!.shape, { choice: "64x64/2", microseconds: 1, estimated: 2 });
		await tuning.save();
		expect(Tuning.load("cuda-emulated", folder).of(one!.shape)?.choice).toBe("64x64/2");
		expect(Tuning.load("NVIDIA H200 9.0", folder).file).toBe(join(folder, "nvidia-h200-9.0.json"));
		for (const text of ["{", "[]", "null", '{"format": 2, "calls": {}}']) {
			writeFileSync(join(folder, "bad.json"), text);
			expect(() => Tuning.load("bad", folder)).toThrow(TuningError);
		}
	});

	it("the CPU has nothing to choose", async () => {
		const cpu = await openDevice("cpu", { threads: 1 });
		expect(cpu.native.choices("matmul", Array(16).fill(1), Array(6).fill(0))).toEqual([]);
		cpu.dispose();
	});
});
