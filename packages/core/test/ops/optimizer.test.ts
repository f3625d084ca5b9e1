// Optimisers as programs, against PyTorch's algorithms written out in double precision.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
	adamw,
	add,
	clipByGlobalNorm,
	type Device,
	ema,
	gradients,
	mul,
	openDevice,
	sgd,
	square,
	sub,
	sum,
	type Tensor,
} from "../../src/index.js";
import { seeded } from "./support.js";

const SIZE = 37;

/** torch.optim.AdamW on one element. */
function adamwReference(
	p: number,
	gradient: (p: number) => number,
	steps: number,
	lr: (t: number) => number,
	decay: number,
) {
	let [m, v] = [0, 0];
	for (let t = 1; t <= steps; t++) {
		const g = gradient(p);
		p *= 1 - lr(t) * decay;
		m = 0.9 * m + 0.1 * g;
		v = 0.999 * v + 0.001 * g * g;
		p -= (lr(t) * (m / (1 - 0.9 ** t))) / (Math.sqrt(v / (1 - 0.999 ** t)) + 1e-8);
	}
	return p;
}

/** torch.optim.SGD on one element. */
function sgdReference(
	p: number,
	gradient: (p: number) => number,
	steps: number,
	lr: number,
	decay: number,
	nesterov: boolean,
) {
	let m = 0;
	for (let t = 1; t <= steps; t++) {
		const g = gradient(p) + decay * p;
		m = t === 1 ? g : 0.9 * m + g;
		p -= lr * (nesterov ? g + 0.9 * m : m);
	}
	return p;
}

describe("optimisers", () => {
	let device: Device;
	const random = seeded("optimisers");
	const [start, target] = [random.normals(SIZE), random.normals(SIZE)];
	beforeAll(async () => {
		device = await openDevice("cpu", { threads: 2 });
	});
	afterAll(() => device.dispose());

	const parameter = (name: string): Promise<Tensor> => device.tensor([SIZE], { name, data: start });
	const expectClose = async (tensor: Tensor, reference: (p: number, i: number) => number) => {
		const got = await tensor.read();
		start.forEach((p, i) => {
			expect(got[i]).toBeCloseTo(reference(p, i), 5);
		});
	};

	it("AdamW with a schedule and factors per parameter, compiled once", async () => {
		const [a, b, c] = [await parameter("a"), await parameter("b"), await parameter("c")];
		const optimizer = await adamw([{ tensor: a }, { tensor: b, lr: 0.5, weightDecay: 0 }, { tensor: c }], {
			weightDecay: 0.1,
		});
		const program = await device.compile((graph) => {
			const values = [a, b, c].map((tensor) => graph.state(tensor));
			const aim = graph.constant(target, [SIZE]);
			const loss = values.map((x) => sum(square(sub(x, aim)))).reduce((x, y) => add(x, y));
			optimizer.update(graph, gradients(loss, values));
			return { loss };
		});
		const lr = (t: number) => 0.1 / t;
		const compiled = device.compilations;
		const losses: number[] = [];
		for (let t = 1; t <= 12; t++) losses.push((await program.run(optimizer.inputs(t, lr(t)))).loss[0]!);
		expect(device.compilations).toBe(compiled);
		expect(losses.at(-1)).toBeLessThan(losses[0]!);
		const gradient = (i: number) => (p: number) => 2 * (p - target[i]!);
		await expectClose(a, (p, i) => adamwReference(p, gradient(i), 12, lr, 0.1));
		await expectClose(b, (p, i) => adamwReference(p, gradient(i), 12, (t) => lr(t) / 2, 0));
		await expectClose(c, (p, i) => adamwReference(p, gradient(i), 12, lr, 0.1));
		// In place: no copies of parameters or moments.
		expect(program.toString()).not.toMatch(/\bcopy\b/);
		optimizer.dispose();
		expect(optimizer.moments.flat().every((tensor) => tensor.disposed)).toBe(true);
	});

	it.each([true, false])("SGD with momentum, decay and Nesterov %s", async (nesterov) => {
		const p = await parameter(`p ${nesterov}`);
		const optimizer = await sgd([{ tensor: p }], { momentum: 0.9, weightDecay: 0.01, nesterov });
		const program = await device.compile((graph) => {
			const x = graph.state(p);
			optimizer.update(graph, gradients(sum(square(sub(x, graph.constant(target, [SIZE])))), [x]));
			return {};
		});
		for (let t = 1; t <= 9; t++) await program.run(optimizer.inputs(t, 0.02));
		await expectClose(p, (start, i) => sgdReference(start, (x) => 2 * (x - target[i]!), 9, 0.02, 0.01, nesterov));
		expect(program.toString()).not.toMatch(/\bcopy\b/);
	});

	it("clipping scales all gradients by one factor, and not at all below the limit", async () => {
		const [a, b] = [await parameter("clipped a"), await parameter("clipped b")];
		const optimizer = await sgd([{ tensor: a }, { tensor: b }]);
		const program = await device.compile((graph) => {
			const limit = graph.input("limit");
			const values = [graph.state(a), graph.state(b)];
			const grads = values.map((x, k) => mul(x, k + 1));
			const { norm, scale } = clipByGlobalNorm(grads, limit);
			optimizer.update(graph, grads, { gradScale: scale });
			return { norm, scale };
		});
		const want = Math.sqrt(5 * start.reduce((total, x) => total + x * x, 0));
		const { norm, scale } = await program.run({ limit: want / 4, ...optimizer.inputs(1, 0.1) });
		expect(norm[0]).toBeCloseTo(want, 4);
		expect(scale[0]).toBeCloseTo(0.25, 5);
		await expectClose(a, (p) => p * (1 - 0.1 * 0.25));
		await expectClose(b, (p) => p * (1 - 0.1 * 0.25 * 2));
		expect((await program.run({ limit: 2 * want, ...optimizer.inputs(2, 0) })).scale[0]).toBe(1);
	});

	it("ema follows the updated parameter", async () => {
		const [p, average] = [await parameter("followed"), await device.tensor([SIZE], { name: "average" })];
		const optimizer = await sgd([{ tensor: p }]);
		const program = await device.compile((graph) => {
			const [updated] = optimizer.update(graph, [graph.state(p)]);
			ema(average, updated!, graph.input("decay"));
			return {};
		});
		await program.run({ decay: 0, ...optimizer.inputs(1, 0.5) });
		await program.run({ decay: 0.75, ...optimizer.inputs(2, 0.5) });
		await expectClose(p, (x) => x / 4);
		await expectClose(average, (x) => 0.75 * (x / 2) + 0.25 * (x / 4));
	});

	it("refuse what can't be trained", async () => {
		const [a, half] = [await parameter("twice"), await device.tensor([2], { dtype: "bf16", name: "half" })];
		await expect(adamw([{ tensor: a }, { tensor: a }])).rejects.toThrow("two of the parameters have the same name");
		await expect(adamw([{ tensor: half }])).rejects.toThrow('parameter "half" is bf16; trained state must be f32');
		const optimizer = await sgd([{ tensor: a }]);
		expect(() => optimizer.inputs(0, 0.1)).toThrow("steps are counted 1, 2, …, not 0");
		expect(() => optimizer.inputs(1, Number.NaN)).toThrow("the learning rate must be a finite number, not NaN");
		await expect(device.compile((graph) => ({ x: optimizer.update(graph, [])[0]! }))).rejects.toThrow(
			"sgd: 0 gradients were given for 1 parameters",
		);
	});
});
