// Every op on the emulated CUDA device against its float64 reference, with the same samples as the CPU. vitest runs a file in a process of
// its own, which the emulated device needs.
import { emulatedAddonPath, emulatedReason, loadNative } from "@dreamdist/native-cuda";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Device, gather, openDevice, opTable } from "../../src/index.js";
import { checkOp, FROZEN, rowsWithSamples } from "./device-cases.js";

const absent = emulatedAddonPath() === null;
if (absent) console.log(`Skipped: ${emulatedReason()}.`);

describe.skipIf(absent)("every op on the emulated CUDA device", () => {
	let device: Device;
	beforeAll(async () => {
		device = await openDevice("cuda-emulated", { threads: 1 });
	});
	afterAll(() => device.dispose());

	const { rows, stored } = rowsWithSamples();
	it.each(rows)("$name in f32", (op) => checkOp([device], op, { storage: "f32", frozen: null }, 0));
	it.each(stored)("$name in bf16", (op) => checkOp([device], op, { storage: "bf16", frozen: null }, 0));
	for (const frozen of ["f32", "f16", "bf16"] as const)
		it.each(Object.keys(FROZEN))(`%s with weights frozen in ${frozen}`, (name) =>
			checkOp([device], opTable().get(name)!, { storage: "f32", frozen }, 0),
		);

	it("has the kernels that the CPU has, and those of tf32", async () => {
		expect(loadNative().info().emulated).toBe(true);
		const cpu = await openDevice("cpu", { threads: 1 });
		const tf32 = ["conv2d", "conv2d_input_grad", "conv2d_weight_grad", "matmul"].map((name) => `${name}_tf32`);
		expect([...device.kernels].sort()).toEqual([...cpu.kernels, ...tf32].sort());
		cpu.dispose();
	});

	it("names an index out of range, with the call, and goes on", async () => {
		const program = await device.compile((graph) => ({
			y: graph.named("lookup", () => gather(graph.input("table", [3, 2]), graph.input("index", [2], "i32"))),
		}));
		const table = [1, 2, 3, 4, 5, 6];
		await expect(program.run({ table, index: [0, 7] })).rejects.toThrow(
			/lookup.*: gather: index 7 \(at position 1\) is outside \[0, 3\)/,
		);
		expect([...(await program.run({ table, index: [2, 0] })).y]).toEqual([5, 6, 1, 2]);
	});

	it("passes the test that a card has to pass", async () => {
		await device.native.selfTest();
	});

	it("is there once per process", async () => {
		await expect(openDevice("cuda-emulated")).rejects.toThrow("a process has one");
	});
});
