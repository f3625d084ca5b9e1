// A card without enough memory, played by the emulated device: plans are refused with numbers, before anything runs. A process of its own.
import { emulatedAddonPath, emulatedReason } from "@dreamdist/native-cuda";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
	type Device,
	FrozenTensor,
	InsufficientMemoryError,
	linear,
	matmul,
	openDevice,
	sum,
} from "../../src/index.js";

const absent = emulatedAddonPath() === null;
if (absent) console.log(`Skipped: ${emulatedReason()}.`);

const MIB = 2 ** 20;

describe.skipIf(absent)("a device with 4 MiB", () => {
	let device: Device;
	beforeAll(async () => {
		process.env.DD_EMULATED_MEMORY = String(4 * MIB);
		// As if more had been free when it was opened.
		device = await openDevice("cuda-emulated", { threads: 1, memoryLimit: 100 * MIB });
	});
	afterAll(() => {
		delete process.env.DD_EMULATED_MEMORY;
		device.dispose();
	});

	const multiply = (side: number) =>
		device.compile((graph) => ({ y: sum(matmul(graph.input("a", [side, side]), graph.input("b", [side, side])), 0) }), {
			name: "product",
			lessMemory: ["smaller matrices"],
		});

	it("refuses an arena that it has no room for when the program is compiled, not when it runs", async () => {
		const attempt = multiply(1024);
		await expect(attempt).rejects.toBeInstanceOf(InsufficientMemoryError);
		await expect(attempt).rejects.toThrow(
			/^product needs [\d.]+ MiB on cuda-emulated \(weights 0.0 MiB, state 0.0 MiB, arena 1[\d.]+ MiB, fixed 8.0 MiB\), and the emulated device has no \d+ bytes left: \d+ are free; 100.0 MiB were free when it was opened, so other work holds the rest. To need less: smaller matrices\.$/,
		);
	});

	it("refuses weights, lets what was packed go, and runs what fits", async () => {
		const data = new Float32Array(512 * 512).fill(0.5);
		const weights = Array.from({ length: 6 }, (_, i) => new FrozenTensor(`w${i}`, [512, 512], "f32", { data }));
		const chain = (count: number) =>
			device.compile((graph) => ({
				y: weights.slice(0, count).reduce((x, w) => linear(x, graph.frozen(w)), graph.input("x", [1, 512])),
			}));
		const before = device.native.freeBytes;
		await expect(chain(6)).rejects.toBeInstanceOf(InsufficientMemoryError);
		await device.idle();
		expect(device.native.freeBytes).toBe(before);
		const program = await chain(2);
		const { y } = await program.run({ x: new Float32Array(512).fill(1 / 512) });
		expect(y[511]).toBeCloseTo(0.5 * 256, 3);
		program.dispose();
	});

	it("goes on after refusals", async () => {
		const program = await multiply(64);
		const { y } = await program.run({ a: new Float32Array(4096).fill(1), b: new Float32Array(4096).fill(1) });
		expect(y[63]).toBe(4096);
		program.dispose();
		expect(device.native.freeBytes).toBeLessThanOrEqual(4 * MIB);
	});
});
