// Handles, signals and threads: nothing leaks, nothing crashes.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as dd from "../../src/index.js";

const built = fileURLToPath(new URL("../../dist/index.js", import.meta.url));

/** Runs a script against the built package in a process of its own. */
function script(body: string): { status: number | null; signal: string | null; output: string } {
	const run = spawnSync(
		process.execPath,
		["--input-type=module", "-e", `import * as dd from ${JSON.stringify(`file://${built}`)};\n${body}`],
		{
			encoding: "utf8",
			timeout: 60_000,
		},
	);
	return { status: run.status, signal: run.signal, output: run.stdout + run.stderr };
}

const SLOW_PROGRAM = `
const slow = (device) => device.compile((g) => {
	let x = g.input("x", [256, 256]);
	for (let i = 0; i < 400; i++) x = dd.mul(dd.matmul(x, x), 1e-3);
	return { x };
});
const x = new Float32Array(256 * 256).fill(0.01);`;

describe("lifecycle", () => {
	let device: dd.Device;
	beforeAll(async () => {
		device = await dd.openDevice("cpu", { threads: 2 });
	});
	afterAll(() => device.dispose());

	const longProgram = () =>
		device.compile((g) => {
			let x = g.input("x", [256, 256]);
			for (let i = 0; i < 300; i++) x = dd.mul(dd.matmul(x, x), 1e-3);
			return { x };
		});
	const x = new Float32Array(256 * 256).fill(0.01);

	it("memory is flat over 10,000 runs", async () => {
		const program = await device.compile((g) => {
			const a = g.input("a", [32, 64]);
			return { loss: dd.mean(dd.square(a)), s: dd.silu(a) };
		});
		const a = new Float32Array(32 * 64).fill(0.5);
		const resident = async (runs: number) => {
			for (let i = 0; i < runs; i++) await program.run({ a });
			return process.memoryUsage().rss;
		};
		await resident(3000);
		const before = await resident(1000);
		const after = await resident(10_000);
		expect(after - before).toBeLessThan(24 * 2 ** 20);
		program.dispose();
	});

	it("what may vary between runs compiles nothing", async () => {
		const program = await device.compile((g) => {
			const p = dd.mul(g.input("p", [8]), g.input("lr"));
			return { p: dd.add(p, g.input("gamma")) };
		});
		const before = device.compilations;
		for (let step = 0; step < 20; step++) {
			const { p } = await program.run({ p: new Float32Array(8).fill(2), lr: step, gamma: -step });
			expect(p[3]).toBe(2 * step - step);
		}
		expect(device.compilations).toBe(before);
	});

	it("an aborted run rejects with the signal's reason, and the next one works", async () => {
		const program = await longProgram();
		const control = new AbortController();
		const run = program.run({ x }, { signal: control.signal });
		setTimeout(() => control.abort(new Error("enough")), 1);
		await expect(run).rejects.toThrow("enough");
		await expect(program.run({ x }, { signal: AbortSignal.abort(new Error("never")) })).rejects.toThrow("never");
		const { x: y } = await program.run({ x });
		expect(y.every(Number.isFinite)).toBe(true);
		program.dispose();
	});

	it("disposing a program with runs in flight lets them finish", async () => {
		const program = await longProgram();
		const runs = [program.run({ x }), program.run({ x })];
		program.dispose();
		for (const result of await Promise.all(runs)) expect(result.x).toHaveLength(256 * 256);
		await expect(program.run({ x })).rejects.toThrow(dd.DisposedError);
	});

	it("disposing a device settles the runs that wait in its queue", async () => {
		const other = await dd.openDevice("cpu", { threads: 1 });
		const program = await other.compile((g) => {
			const matrix = g.input("x", [256, 256]);
			return { y: dd.matmul(matrix, matrix) };
		});
		const runs = Array.from({ length: 20 }, () => program.run({ x }));
		const settled = Promise.allSettled(runs);
		other.dispose();
		const dropped = (await settled).filter((result) => result.status === "rejected");
		expect(dropped.length).toBeGreaterThan(0);
		for (const { reason } of dropped) expect(reason).toBeInstanceOf(dd.DeviceError);
	});

	it("state lives on until its runs are done, and then refuses", async () => {
		const state = await device.tensor([4], { data: [1, 2, 3, 4], name: "moments" });
		const program = await device.compile((g) => ({ y: dd.mul(g.state(state), 2) }));
		const run = program.run();
		state.dispose();
		expect([...(await run).y]).toEqual([2, 4, 6, 8]);
		await expect(state.read()).rejects.toThrow('tensor "moments" was disposed');
	});

	it("wrong inputs are refused in a sentence", async () => {
		const program = await device.compile((g) => ({ y: dd.neg(g.input("latents", [2, 3])) }), { name: "unet" });
		await expect(program.run({})).rejects.toThrow('unet: input "latents" (f32[2, 3]) was not given');
		await expect(program.run({ latents: [1, 2] })).rejects.toThrow("has 6 elements; 2 were given");
		await expect(program.run({ latents: new Float32Array(6), seed: 1 })).rejects.toThrow('there is no input "seed"');
	});

	it("a profile times every call, with warm caches and with cold ones, and computes what a run does", async () => {
		const tensor = await device.tensor([64], { name: "sum" });
		const program = await device.compile((g) => {
			g.assign(tensor, dd.add(g.state(tensor), dd.sum(dd.matmul(g.input("x", [64, 64]), g.input("x2", [64, 64])), 0)));
			return {};
		});
		const ones = new Float32Array(64 * 64).fill(1);
		for (const cold of [false, true]) {
			const calls = await program.profile({ x: ones, x2: ones }, { cold });
			expect(calls).toHaveLength(program.kernelCalls);
			expect(calls.map(({ kernel }) => kernel)).toContain("matmul");
			for (const { kernel, microseconds } of calls) expect(microseconds, kernel).toBeGreaterThan(0);
		}
		expect((await tensor.read())[0]).toBe(2 * 64 * 64);
		tensor.dispose();
	});

	it("a plan over the limit is refused with its numbers and what would lower it", async () => {
		const small = await dd.openDevice("cpu", { threads: 1, memoryLimit: 20 * 2 ** 20 });
		const attempt = small.compile((g) => ({ y: dd.neg(dd.sum(dd.add(g.input("x", [4096, 1024]), 1), 0)) }), {
			name: "decoder",
			lessMemory: ["a smaller --size", "--batch 1"],
		});
		await expect(attempt).rejects.toThrow(
			/decoder needs .* on cpu \(weights .*arena .*\), but only 20.0 MiB may be used. To need less: a smaller --size; --batch 1/,
		);
		await expect(attempt).rejects.toBeInstanceOf(dd.InsufficientMemoryError);
		small.dispose();
	});

	it("a program that needs a kernel which the device lacks is refused when it is compiled", async () => {
		const kernels = device.native.kernels.filter((name) => name !== "pointwise");
		const poorer = new dd.Device("poorer", Object.create(device.native, { kernels: { value: kernels } }), 2 ** 30);
		await expect(poorer.compile((graph) => ({ y: dd.neg(graph.input("x", [2])) }))).rejects.toThrow(
			/^neg.* can't be compiled for poorer: that device has no kernel "pointwise"$/,
		);
	});

	it("an unknown device, instruction set or thread count is refused in a sentence", async () => {
		await expect(dd.openDevice("tpu")).rejects.toThrow('there is no device "tpu"; choose auto, cpu');
		await expect(dd.openDevice("cuda:1")).rejects.toThrow('device "cuda:1" is not available');
		await expect(dd.openDevice("cpu", { isa: "mmx" })).rejects.toThrow(
			'the CPU instruction set "mmx" can\'t be used here; choose one of: auto',
		);
		await expect(dd.openDevice("cpu", { threads: 0 })).rejects.toThrow("threads must be a whole number");
	});

	describe.skipIf(!existsSync(built))("in a process of its own (skipped where packages/core is not built)", () => {
		it("disposing the device mid-run ends cleanly", () => {
			const { status, output } = script(`${SLOW_PROGRAM}
				const device = await dd.openDevice("cpu", { threads: 2 });
				const program = await slow(device);
				const run = program.run({ x });
				device.dispose();
				await Promise.race([run.catch(() => {}), new Promise((done) => setTimeout(done, 200))]);
				await program.run({ x }).catch((error) => console.log(error.message));
				console.log("end");`);
			expect(output).toContain('program "program" was disposed');
			expect(output).toContain("end");
			expect(status).toBe(0);
		});

		it("a worker thread terminated mid-run takes nothing down", () => {
			const { status, signal, output } = script(`
				import { Worker } from "node:worker_threads";
				const body = \`import * as dd from ${JSON.stringify(`file://${built}`)};
					import { parentPort } from "node:worker_threads";
					${SLOW_PROGRAM}
					const device = await dd.openDevice("cpu", { threads: 2 });
					const program = await slow(device);
					const runs = [program.run({ x }), program.run({ x })];
					parentPort.postMessage("running");
					await Promise.all(runs);\`;
				for (let i = 0; i < 3; i++) {
					const worker = new Worker(new URL("data:text/javascript," + encodeURIComponent(body)));
					await new Promise((done, fail) => { worker.once("message", done); worker.once("error", fail); });
					await new Promise((done) => setTimeout(done, i * 5));
					await worker.terminate();
				}
				console.log("survived");`);
			expect(output).toContain("survived");
			expect({ status, signal }).toEqual({ status: 0, signal: null });
		});

		it("the measured peak stays within the plan × 1.05 + 150 MB", () => {
			const { output } = script(`
				import { readFileSync } from "node:fs";
				const anonymous = () => Number(/RssAnon:\\s+(\\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? NaN) * 1024;
				const before = anonymous();
				const device = await dd.openDevice("cpu", { threads: 2 });
				const weight = new dd.FrozenTensor("w", [4096, 4096], "f16", { data: new Uint16Array(4096 * 4096).fill(0x2000) });
				const state = await device.tensor([256, 65536]);
				const program = await device.compile((g) => {
					let x = g.input("x", [256, 4096]);
					for (let i = 0; i < 2; i++) x = dd.add(dd.linear(x, g.frozen(weight), { activation: "silu" }), x);
					g.assign(state, dd.concat(Array.from({ length: 16 }, () => x), 1));
					return { y: dd.mean(x), grad: dd.sum(dd.gradients(dd.mean(x), [g.inputs[0]])[0]) };
				});
				const x = new Float32Array(256 * 4096);
				let peak = 0;
				const watch = setInterval(() => (peak = Math.max(peak, anonymous())), 1);
				for (let i = 0; i < 2; i++) { await program.run({ x }); peak = Math.max(peak, anonymous()); }
				clearInterval(watch);
				const host = x.byteLength + 2 * 4096 * 4096;
				console.log(JSON.stringify({ plan: program.memory.peak, measured: peak - before - host }));`);
			const { plan, measured } = JSON.parse(output) as { plan: number; measured: number };
			if (Number.isFinite(measured)) expect(measured).toBeLessThan(plan * 1.05 + 150e6);
			expect(plan).toBeGreaterThan(100e6);
		});

		it("exceptions in whoever awaits a run, and exit with runs in flight, crash nothing", () => {
			const { status, output } = script(`${SLOW_PROGRAM}
				const device = await dd.openDevice("cpu", { threads: 2 });
				const program = await slow(device);
				await program.run({ x }).then(() => { throw new Error("mine"); }).catch((error) => console.log(error.message));
				program.run({ x });
				process.exit(7);`);
			expect(output).toContain("mine");
			expect(status).toBe(7);
		});
	});
});
