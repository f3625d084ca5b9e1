// Whole random programs against the interpreter: fused and not, with and without recomputation, on poisoned memory.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as dd from "../../src/index.js";
import { TestRandom } from "../random.js";

interface Built {
	outputs: Record<string, dd.Value>;
	inputs: Record<string, Float32Array>;
}

/** A random graph over values [rows, columns], with a loss and its gradients. Recompute: some stretches are checkpoints. */
function build(graph: dd.Graph, seed: number, recompute: "none" | "stretches", ops: number): Built {
	const random = new TestRandom(seed);
	const [rows, columns] = [random.integer(1, 9), random.integer(1, 33)];
	const inputs: Record<string, Float32Array> = {};
	const leaf = (shape: number[]) => {
		const name = `x${Object.keys(inputs).length}`;
		const value = graph.input(name, shape);
		inputs[name] = random.normals(value.size).map((v) => v * 0.5);
		return value;
	};
	const leaves = [leaf([rows, columns]), leaf([columns]), leaf([rows, 1])];
	const pool: dd.Value[] = [leaves[0]!];
	const step = (): dd.Value => {
		const x = random.choose(pool);
		const same = () => random.choose(pool);
		switch (random.integer(0, 11)) {
			case 0:
				return dd.add(x, same());
			case 1:
				return dd.mul(x, dd.sigmoid(same()));
			case 2:
				return dd.silu(dd.add(x, leaves[1]!));
			case 3:
				return dd.gelu(dd.mul(x, leaves[2]!));
			case 4: {
				const w = leaf([columns, columns]);
				leaves.push(w);
				return dd.mul(dd.linear(x, w, { bias: leaves[1]!, activation: random.choose(["none", "gelu", "silu"]) }), 0.3);
			}
			case 5: {
				const w = leaf([2 * columns, columns]);
				leaves.push(w);
				return dd.add(dd.linear(x, w, { activation: "geglu" }), same());
			}
			case 6:
				return dd.sub(x, dd.mean(x, -1, { keepDims: true }));
			case 7:
				return dd.mul(dd.sum(x, 0, { keepDims: true }), dd.tanh(same()));
			case 8: {
				const half = Math.floor(columns / 2);
				return half === 0
					? dd.neg(x)
					: dd.concat([dd.slice(x, 1, half, columns - half), dd.slice(same(), 1, 0, half)], 1);
			}
			case 9:
				return dd.reshape(dd.transpose(dd.reshape(dd.transpose(x), [columns, rows])), [rows, columns]);
			case 10:
				return dd.matmul(dd.mul(dd.matmul(x, same(), { transposeB: true }), 0.1), x);
			default:
				return dd.div(x, dd.add(dd.square(same()), 1));
		}
	};
	for (let i = 0; i < ops; i++) {
		if (recompute === "stretches" && random.uniform() < 0.3)
			pool.push(
				graph.checkpoint(() => {
					let y = step();
					for (let k = random.integer(1, 3); k > 0; k--) y = dd.tanh(dd.add(y, random.choose(pool)));
					return y;
				}),
			);
		else pool.push(dd.tanh(step()));
	}
	const last = pool[pool.length - 1]!;
	const loss = dd.mean(dd.square(dd.add(last, pool[Math.floor(pool.length / 2)]!)));
	const grads = dd.gradients(loss, leaves);
	return { outputs: { loss, last, ...Object.fromEntries(grads.map((g, i) => [`d${i}`, g])) }, inputs };
}

/** Builds for a device and remembers the inputs and values. */
function builder(seed: number, recompute: "none" | "stretches", ops: number) {
	const built: Built = { outputs: {}, inputs: {} };
	const trace = (graph: dd.Graph) => {
		Object.assign(built, build(graph, seed, recompute, ops));
		return built.outputs;
	};
	return { built, trace };
}

function relativeError(got: ArrayLike<number>, want: ArrayLike<number>): number {
	let difference = 0;
	let size = 0;
	for (let i = 0; i < want.length; i++) {
		difference += (got[i]! - want[i]!) ** 2;
		size += want[i]! ** 2;
	}
	return Math.sqrt(difference) / Math.max(Math.sqrt(size), 1e-3);
}

describe("random programs", () => {
	let device: dd.Device;
	beforeAll(async () => {
		device = await dd.openDevice("cpu", { threads: 2 });
	});
	afterAll(() => device.dispose());

	for (const recompute of ["none", "stretches"] as const)
		for (const fuse of [true, false])
			it(`equal the interpreter (recompute ${recompute}, ${fuse ? "fused" : "unfused"}, poisoned)`, async () => {
				for (let seed = 1; seed <= 40; seed++) {
					const { built, trace } = builder(seed, recompute, 4 + (seed % 14));
					const program = await device.compile(trace, { fuse });
					const { inputs, outputs } = built;
					const want = dd.interpret(Object.values(outputs), { inputs });
					for (let run = 0; run < 2; run++) {
						const got = await program.run(inputs, { poison: true });
						for (const [name, value] of Object.entries(outputs))
							expect(relativeError(got[name]!, want.get(value)!), `seed ${seed}, ${name}, run ${run}`).toBeLessThan(
								3e-5,
							);
					}
					program.dispose();
				}
			});

	it("give the same bits on every run and differ by rounding only with the thread count", async () => {
		const one = await dd.openDevice("cpu", { threads: 1 });
		for (let seed = 50; seed < 60; seed++) {
			const { built, trace } = builder(seed, "none", 12);
			const a = await device.compile(trace);
			const b = await one.compile(trace);
			const first = await a.run(built.inputs);
			const second = await a.run(built.inputs);
			const single = await b.run(built.inputs);
			for (const name of Object.keys(built.outputs)) {
				expect(second[name]).toEqual(first[name]);
				expect(relativeError(single[name]!, first[name]!)).toBeLessThan(1e-5);
			}
		}
		one.dispose();
	});

	it("keep less with recomputation", async () => {
		const chain = (checkpoint: boolean) => (graph: dd.Graph) => {
			const x = graph.input("x", [64, 256]);
			let y = x;
			for (let i = 0; i < 6; i++) {
				const block = () => {
					let z = y;
					for (let k = 0; k < 4; k++)
						z = dd.mul(dd.tanh(dd.mean(dd.reshape(z, [64, 256, 1]), 2)), dd.sum(z, 1, { keepDims: true }));
					return z;
				};
				y = checkpoint ? graph.checkpoint(block) : block();
			}
			return { dx: dd.gradients(dd.sum(y), [x])[0]! };
		};
		const kept = await device.compile(chain(false));
		const again = await device.compile(chain(true));
		expect(again.memory.arena).toBeLessThan(kept.memory.arena * 0.7);
		const x = new TestRandom(3).normals(64 * 256).map((v) => v * 0.01);
		const [a, b] = [await kept.run({ x }, { poison: true }), await again.run({ x }, { poison: true })];
		expect(relativeError(b.dx, a.dx)).toBeLessThan(1e-5);
	});

	it("are checked op by op, and the first op that is off is named", async () => {
		const { built, trace } = builder(7, "none", 10);
		const program = await device.compile(trace);
		const good = await program.check(built.inputs);
		expect(good.first).toBeNull();
		expect(good.values).toBeGreaterThan(10);
		const bad = { ...built.inputs, x0: built.inputs.x0!.map(() => Number.POSITIVE_INFINITY) };
		const report = await program.check(bad);
		expect(report.first?.reason).toMatch(/is (NaN|Infinity)/);
		const division = await device.compile((graph) => ({
			y: graph.named("layer", () => dd.log(dd.sub(graph.input("x", [2]), 1))),
		}));
		expect((await division.check({ x: [2, 0.5] })).first?.op).toBe("log (layer)");
	});
});
