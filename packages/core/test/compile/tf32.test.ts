// What tf32 is on a device without it: a refusal, or the naive computation.
import { describe, expect, it } from "vitest";
import { matmul, mul, openDevice } from "../../src/index.js";

describe("tf32 on the CPU", () => {
	const refusal = "tf32 is arithmetic of CUDA cards, and cpu has none: leave it out, or choose a CUDA device";

	it.each(["cpu", "auto"])("is refused (%s)", async (spec) => {
		await expect(openDevice(spec, { tf32: true })).rejects.toThrow(refusal);
	});

	it("is refused to a program too", async () => {
		const device = await openDevice("cpu", { threads: 1 });
		const build = { tf32: true };
		await expect(
			device.compile((graph) => ({ y: matmul(graph.input("a", [2, 2]), graph.input("b", [2, 2])) }), build),
		).rejects.toThrow(refusal);
		device.dispose();
	});

	it("rounds operands, not results, where it is computed naively", async () => {
		const device = await openDevice("cpu", { threads: 1, tf32: true, unfused: true });
		expect(String(device)).toContain("f32 products in tf32");
		const program = await device.compile((graph) => ({
			y: matmul(graph.input("a", [1, 3]), graph.input("b", [3, 1])),
			b: mul(graph.input("b2", [1]), 1),
		}));
		// Half of the last bit goes to the even number here and away from 0 on a card; a little more or less is the same in both.
		const { y, b } = await program.run({
			a: [1 + 2 ** -11 + 2 ** -20, -3, 2 ** -30],
			b: [1, 1 + 2 ** -12, 2 ** 30 * (1 + 2 ** -10)],
			b2: [1 + 2 ** -20],
		});
		expect(y[0]).toBe(1 + 2 ** -10 - 3 + 1 + 2 ** -10);
		expect(b[0]).toBe(1 + 2 ** -20);
		device.dispose();
	});
});
