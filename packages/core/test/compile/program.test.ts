import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
	add,
	type Device,
	gradients,
	linear,
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

describe("concats", () => {
	it("are filled in place by the elementwise passes that make their parts", async () => {
		const device = await openDevice("cpu", { threads: 1 });
		const program = await device.compile((g) => {
			const [x, w] = [g.input("x", [5, 3]), g.input("w", [8, 3])];
			return { dx: gradients(sum(linear(x, w, { activation: "geglu" })), [x])[0]! };
		});
		expect(program.toString()).not.toMatch(/copy .*concat/);
		const x = Array.from({ length: 15 }, (_, i) => Math.sin(i));
		const w = Array.from({ length: 24 }, (_, i) => Math.cos(i));
		expect((await program.check({ x, w })).first).toBeNull();
		const step = 1e-3;
		const loss = (shift: number) => {
			const moved = x.map((v, i) => v + (i === 4 ? shift : 0));
			let total = 0;
			for (let r = 0; r < 5; r++)
				for (let c = 0; c < 4; c++) {
					const dot = (row: number) =>
						moved[3 * r]! * w[3 * row]! + moved[3 * r + 1]! * w[3 * row + 1]! + moved[3 * r + 2]! * w[3 * row + 2]!;
					const gate = dot(c + 4);
					total += dot(c) * gate * 0.5 * (1 + erfReference(gate * Math.SQRT1_2));
				}
			return total;
		};
		const { dx } = await program.run({ x, w }, { poison: true });
		expect(dx[4]).toBeCloseTo((loss(step) - loss(-step)) / (2 * step), 4);
		device.dispose();
	});
});

/** Abramowitz and Stegun 7.1.26, good to 1.5e-7. */
function erfReference(x: number): number {
	const t = 1 / (1 + 0.3275911 * Math.abs(x));
	const p = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
	return Math.sign(x) * (1 - p * Math.exp(-x * x));
}
