import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
	add,
	type Device,
	gradients,
	mean,
	mul,
	openDevice,
	silu,
	square,
	sub,
	sum,
	transpose,
} from "../../src/index.js";

describe("programs", () => {
	let device: Device;
	beforeAll(async () => {
		device = await openDevice("cpu", { threads: 2 });
	});
	afterAll(() => device.dispose());

	it("run elementwise chains with broadcasting as one kernel call", async () => {
		const program = await device.compile((g) => {
			const x = g.input("x", [2, 3]);
			const y = g.input("y", [3]);
			return { z: silu(add(mul(x, 2), y)) };
		});
		expect(program.kernelCalls).toBe(1);
		const { z } = await program.run({ x: [1, 2, 3, 4, 5, 6], y: [0, 1, -1] }, { poison: true });
		const f = (u: number) => u / (1 + Math.exp(-u));
		const want = [1, 2, 3, 4, 5, 6].map((v, i) => f(2 * v + [0, 1, -1][i % 3]!));
		for (let i = 0; i < 6; i++) expect(z[i]).toBeCloseTo(want[i]!, 5);
	});

	it("give gradients", async () => {
		const program = await device.compile((g) => {
			const x = g.input("x", [2, 3]);
			const loss = mean(square(sub(transpose(x), 1)));
			const [dx] = gradients(loss, [x]);
			return { loss, dx: dx! };
		});
		const { loss, dx } = await program.run({ x: [1, 2, 3, 4, 5, 6] });
		expect(loss[0]).toBeCloseTo((0 + 1 + 4 + 9 + 16 + 25) / 6, 5);
		[0, 1, 2, 3, 4, 5].forEach((v, i) => {
			expect(dx[i]).toBeCloseTo((2 * v) / 6, 6);
		});
	});

	it("update state in place, reading the old contents first", async () => {
		const a = await device.tensor([2], { data: [1, 2], name: "a" });
		const b = await device.tensor([2], { data: [10, 20], name: "b" });
		const program = await device.compile((g) => {
			const [x, y] = [g.state(a), g.state(b)];
			g.assign(a, y);
			g.assign(b, add(x, y));
			return { total: sum(x) };
		});
		const { total } = await program.run();
		expect(total[0]).toBe(3);
		expect([...(await a.read())]).toEqual([10, 20]);
		expect([...(await b.read())]).toEqual([11, 22]);
	});
});
