import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Device, FrozenTensor, linear, openDevice } from "../../src/index.js";

describe("weights that no program reads", () => {
	let device: Device;
	beforeAll(async () => {
		device = await openDevice("cpu", { threads: 2 });
	});
	afterAll(() => device.dispose());

	const weight = (name: string) =>
		new FrozenTensor(name, [64, 64], "f32", { data: new Float32Array(64 * 64).fill(0.5) });
	const program = (tensor: FrozenTensor, signal?: AbortSignal) =>
		device.compile(
			(graph) => ({ y: linear(graph.input("x", [4, 64]), graph.frozen(tensor)) }),
			signal ? { signal } : {},
		);
	const x = new Float32Array(4 * 64).fill(1);

	it("stay for the next program, and go when asked", async () => {
		const shared = weight("shared");
		const first = await program(shared);
		const second = await program(shared);
		const other = await program(weight("other"));
		const held = device.memory.weights;
		device.releaseUnusedWeights();
		expect(device.memory.weights).toBe(held);
		first.dispose();
		other.dispose();
		expect(device.memory.weights).toBe(held);
		device.releaseUnusedWeights();
		expect(device.memory.weights).toBe(held / 2);
		expect((await second.run({ x })).y[5]).toBe(32);
		second.dispose();
		device.releaseUnusedWeights();
		expect(device.memory.weights).toBe(0);
		const again = await program(shared);
		expect((await again.run({ x })).y[5]).toBe(32);
		again.dispose();
		device.releaseUnusedWeights();
	});

	it("may go while the last run is still under way", async () => {
		const last = await program(weight("last"));
		const runs = Array.from({ length: 50 }, () => last.run({ x }));
		last.dispose();
		device.releaseUnusedWeights();
		for (const { y } of await Promise.all(runs)) expect(y[5]).toBe(32);
	});

	it("are not held by a compilation that was stopped or failed", async () => {
		await expect(program(weight("stopped"), AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
		const broken = new FrozenTensor("broken", [64, 64], "f32", { read: () => Promise.reject(new Error("torn page")) });
		await expect(program(broken)).rejects.toThrow(/torn page/);
		device.releaseUnusedWeights();
		expect(device.memory.weights).toBe(0);
	});
});
