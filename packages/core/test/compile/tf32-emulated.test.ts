// Products of f32 in tf32 on the emulated CUDA device: every result is at most twice as far from the exact one as that of the naive
// computation. The device needs a process of its own, which vitest gives each file.
import { emulatedAddonPath, emulatedReason } from "@dreamdist/native-cuda";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fromStorage } from "../../src/device/host.js";
import {
	conv2d,
	type Device,
	encodeBf16,
	FrozenTensor,
	Graph,
	gradients,
	interpret,
	linear,
	openDevice,
	sum,
	type Value,
} from "../../src/index.js";
import { TestRandom } from "../random.js";
import { MixedWeights, mixedInputs, mixedNetwork } from "./mixed-network.js";

const absent = emulatedAddonPath() === null;
if (absent) console.log(`Skipped: ${emulatedReason()}.`);

const FACTOR = 2;
/** Results of few numbers: the naive computation may have been lucky. */
const FEW = 16;
const UNIT = 2 ** -11;
/** Of everything that both compute in f32. */
const F32 = 1e-5;

const norm = (x: ArrayLike<number>) => Math.hypot(...Array.from(x));
const distance = (x: ArrayLike<number>, y: ArrayLike<number>) => norm(Array.from(x, (value, i) => value - y[i]!));

describe.skipIf(absent)("tf32 on the emulated CUDA device", () => {
	let card: Device;
	let cpu: Device;
	beforeAll(async () => {
		card = await openDevice("cuda-emulated", { threads: 1, tf32: true });
		cpu = await openDevice("cpu", { threads: 1, tf32: true, unfused: true });
	});
	afterAll(() => {
		card.dispose();
		cpu.dispose();
	});

	it("is named where the device is", () => {
		expect(String(card)).toContain("f32 products in tf32");
		expect(card.tf32).toBe(true);
	});

	it("is as exact as the naive computation, and less than f32", async () => {
		const weights = new MixedWeights();
		const build = (graph: Graph) => mixedNetwork(graph, weights);
		const programs = await Promise.all([card.compile(build), cpu.compile(build), card.compile(build, { tf32: false })]);
		const inputs = mixedInputs("a");
		const exact = build(new Graph());
		const contents = interpret(Object.values(exact), {
			inputs,
			frozen: (tensor) => fromStorage((tensor.source as { data: Float32Array }).data, "f32"),
		});
		const [got, naive, plain] = await Promise.all(programs.map((program) => program.run(inputs, { poison: true })));
		for (const [name, value] of Object.entries(exact)) {
			const want = contents.get(value)!;
			const few = want.length < FEW ? 4 * UNIT * norm(want) : 0;
			const off = distance(got![name]!, want);
			expect(off, name).toBeLessThanOrEqual(Math.max(FACTOR * distance(naive![name]!, want), few, F32 * norm(want)));
			if (want.length >= FEW) expect(off, name).toBeGreaterThan(4 * distance(plain![name]!, want));
		}
		for (const program of programs) program.dispose();
	});

	const random = new TestRandom(5);
	const bf16 = (name: string, ...shape: number[]) =>
		new FrozenTensor(name, shape, "bf16", { data: encodeBf16(random.normals(shape.reduce((a, b) => a * b))) });
	const [kernel, matrix] = [bf16("kernel", 12, 8, 3, 3), bf16("matrix", 10, 12)];
	const network = (graph: Graph): Record<"y" | "dx" | "dw", Value> => {
		const w = graph.input("w", [12, 12, 3, 3]);
		const x = graph.input("x", [1, 7, 5, 8]);
		const hidden = conv2d(conv2d(x, graph.frozen(kernel), { padding: 1 }), w, { padding: 1, stride: 2 });
		const y = linear(hidden, graph.frozen(matrix));
		const [dx, dw] = gradients(sum(y), [x, w]) as [Value, Value];
		return { y, dx, dw };
	};

	it("takes every product, with weights of 16 bits held in f32", async () => {
		const kernels = new Set<string>();
		card.onCompiled = (calls) => {
			for (const { kernel } of calls) if (/^(matmul|conv2d)/.test(kernel)) kernels.add(kernel);
		};
		const program = await card.compile(network);
		card.onCompiled = null;
		expect(kernels).toEqual(
			new Set(["matmul_tf32", "conv2d_tf32", "conv2d_input_grad_tf32", "conv2d_weight_grad_tf32"]),
		);
		const inputs = { x: random.normals(7 * 5 * 8), w: random.normals(12 * 12 * 9) };
		const plain = await card.compile(network, { tf32: false });
		expect(String(plain)).not.toContain("_tf32");
		const [got, want] = await Promise.all([program.run(inputs), plain.run(inputs)]);
		for (const name of ["y", "dx", "dw"] as const)
			expect(distance(got[name], want[name]), name).toBeLessThan(UNIT * norm(want[name]));
		program.dispose();
		plain.dispose();
	});

	it("passes a check of its own, op by op", async () => {
		const program = await card.compile(network);
		const report = await program.check({ x: random.normals(7 * 5 * 8), w: random.normals(12 * 12 * 9) });
		expect(report.first).toBeNull();
		expect(report.largestError).toBeGreaterThan(1e-5);
		program.dispose();
	});
});
