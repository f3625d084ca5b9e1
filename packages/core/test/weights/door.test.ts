import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
	accountForWeights,
	add,
	countParameters,
	type Device,
	declaredWeights,
	FrozenTensor,
	Graph,
	gradients,
	mul,
	openDevice,
	sum,
	trainableWeights,
	WeightSet,
	type Weights,
	WeightsError,
	wrapWeights,
} from "../../src/index.js";

const tensor = (name: string, shape: number[], values?: number[]) =>
	new FrozenTensor(name, shape, "f32", {
		data: Float32Array.from(values ?? new Array(shape.reduce((a, b) => a * b, 1)).fill(0)),
	});
const setOf = (...tensors: FrozenTensor[]) =>
	new WeightSet(new Map(tensors.map((t) => [t.name, t])), "model.safetensors");
const thrown = (action: () => unknown): WeightsError => {
	try {
		action();
	} catch (error) {
		if (error instanceof WeightsError) return error;
		throw error;
	}
	throw new Error("nothing was thrown");
};

describe("the door to frozen weights", () => {
	const set = setOf(tensor("a.b.weight", [2, 3]), tensor("a.b.bias", [2]), tensor("conv", [4, 3, 1, 1]));

	it("gives the weight of a name, and the same value each time", () => {
		const weights = set.open(new Graph());
		const scoped = weights.scope("a").scope("b");
		expect(scoped.path).toBe("a.b");
		expect(scoped.get("weight", [2, 3]).shape).toEqual([2, 3]);
		expect(weights.get("a.b.weight", [2, 3])).toBe(scoped.get("weight", [2, 3]));
		expect([scoped.has("bias"), scoped.has("nothing")]).toEqual([true, false]);
		expect(scoped.optional("nothing", [1])).toBeNull();
	});

	it("names a weight that is missing or misshaped, and where it was looked for", () => {
		const weights = set.open(new Graph()).scope("a.b");
		const missing = thrown(() => weights.get("scale", [2]));
		expect(missing.message).toContain('model.safetensors: the weight "a.b.scale" [2] is missing');
		expect(missing.missing).toEqual(["a.b.scale"]);
		const other = thrown(() => weights.optional("bias", [3]));
		expect(other.message).toContain('"a.b.bias" has the shape [2]');
		expect(other.misshaped).toEqual(["a.b.bias"]);
	});

	it("stacks weights along the first axis: one tensor for all graphs", async () => {
		const stacked = setOf(tensor("q", [1, 2], [1, 2]), tensor("k", [2, 2], [3, 4, 5, 6]), tensor("other", [2], [7, 8]));
		const parts = [
			{ name: "q", shape: [1, 2] },
			{ name: "k", shape: [2, 2] },
		];
		const [one, other] = [stacked.open(new Graph()).stack(parts), stacked.open(new Graph()).stack(parts)];
		expect(one.shape).toEqual([3, 2]);
		expect(one.node.op.name).toBe("frozen");
		expect(one.node.attributes.tensor).toBe(other.node.attributes.tensor);
		expect(() => stacked.open(new Graph()).stack([...parts, { name: "v", shape: [1, 2] }])).toThrow(
			'"v" [1, 2] is missing',
		);
		expect(() => stacked.open(new Graph()).stack([{ name: "q", shape: [2, 1] }])).toThrow(WeightsError);
	});

	it("takes a 1×1 convolution for a linear layer and the other way round, as one tensor per shape", () => {
		const [one, other] = [new Graph(), new Graph()];
		const linear = set.open(one).get("conv", [4, 3]);
		expect(linear.shape).toEqual([4, 3]);
		expect(linear.node.attributes.tensor).toBe(set.open(other).get("conv", [4, 3]).node.attributes.tensor);
		expect(set.open(one).get("a.b.weight", [2, 3, 1, 1]).shape).toEqual([2, 3, 1, 1]);
		expect(() => set.open(one).get("conv", [3, 4])).toThrow(WeightsError);
	});
});

describe("declared weights", () => {
	const model = (graph: Graph, weights: Weights) => {
		const layer = weights.scope("layer");
		const y = mul(graph.input("x", [3]), layer.get("scale", [3]));
		const shift = layer.optional("shift", [3]);
		return layer.has("shift") ? add(y, shift!) : mul(y, layer.get("scale", [3]));
	};

	it("lists what a model asks for, in order, and optional weights only where they are there", () => {
		expect([...declaredWeights(model)]).toEqual([["layer.scale", [3]]]);
		const both = declaredWeights(model, new Set(["layer.shift"]));
		expect([...both.keys()]).toEqual(["layer.scale", "layer.shift"]);
		expect(countParameters(both)).toBe(6);
	});

	it("refuses a model that asks for one weight in two shapes", () => {
		expect(() =>
			declaredWeights((_, weights) => {
				weights.get("w", [2]);
				weights.get("w", [3]);
			}),
		).toThrow(WeightsError);
	});

	it("accounts for everything at once", () => {
		const declared = new Map([
			["a", [2]],
			["b", [2, 3]],
			["c", [4]],
		]);
		const exact = { a: [2], b: [2, 3, 1, 1], c: [4] };
		const held = (shapes: Record<string, number[]>) =>
			new Map(Object.entries(shapes).map(([n, shape]) => [n, { shape }]));
		expect(() => accountForWeights(declared, held(exact), "file")).not.toThrow();
		const error = thrown(() => accountForWeights(declared, held({ b: [3, 2], c: [4], d: [1], e: [1] }), "file"));
		expect(error.missing).toEqual(["a"]);
		expect(error.misshaped).toEqual(["b"]);
		expect(error.unexpected).toEqual(["d", "e"]);
		expect(error.message).toBe(
			"file: its weights do not match its configuration: 1 missing (a); 1 of another shape (b: [3, 2] instead of [2, 3]); 2 unexpected (d, e)",
		);
	});

	it("keeps a long list readable and complete", () => {
		const declared = new Map(Array.from({ length: 40 }, (_, i) => [`w${i}`, [1]]));
		const error = thrown(() => accountForWeights(declared, new Map(), "file"));
		expect(error.missing).toHaveLength(40);
		expect(error.message).toContain("40 missing (w0, w1");
		expect(error.message).toContain("and 28 more");
	});
});

describe("trainable and wrapped weights", () => {
	let device: Device;
	beforeAll(async () => {
		device = await openDevice("cpu", { threads: 1 });
	});
	afterAll(() => device.dispose());

	it("state can be differentiated and assigned", async () => {
		const w = await device.tensor([3], { name: "w", data: [1, 2, 3] });
		const program = await device.compile((graph) => {
			const value = trainableWeights(graph, new Map([["w", w]])).get("w", [3]);
			const [g] = gradients(sum(mul(value, value)), [value]);
			graph.assign(w, add(value, g!));
			return { g: g! };
		});
		expect([...(await program.run()).g]).toEqual([2, 4, 6]);
		expect([...(await w.read())]).toEqual([3, 6, 9]);
		const twice = await device.compile((graph) => ({
			both: trainableWeights(graph, new Map([["w", w]])).stack([
				{ name: "w", shape: [3] },
				{ name: "w", shape: [3] },
			]),
		}));
		expect([...(await twice.run()).both]).toEqual([3, 6, 9, 3, 6, 9]);
		const door = trainableWeights(new Graph(), new Map([["w", w]]));
		expect(() => door.get("v", [3])).toThrow('"v" [3] is missing');
		expect(() => door.get("w", [2])).toThrow(WeightsError);
	});

	it("weights of different precisions are stacked in f32", async () => {
		const half = new FrozenTensor("half", [2], "f16", { data: Uint16Array.of(0x3c00, 0xc000) });
		const set = setOf(half, tensor("single", [1], [0.1]));
		const program = await device.compile((graph) => ({
			y: set.open(graph).stack([
				{ name: "half", shape: [2] },
				{ name: "single", shape: [1] },
			]),
		}));
		expect([...(await program.run()).y]).toEqual([1, -2, Math.fround(0.1)]);
	});

	it("a wrapping door replaces, computes around, or passes on", async () => {
		const set = setOf(tensor("x.a", [2], [1, 2]), tensor("x.b", [2], [10, 20]), tensor("c", [2], [5, 5]));
		const program = await device.compile((graph) => {
			const weights = wrapWeights(set.open(graph), ({ name, inner }) =>
				name === "x.a" ? mul(inner(), 3) : name === "x.b" ? graph.constant([7, 8], [2]) : null,
			);
			const scope = weights.scope("x");
			return { a: scope.get("a", [2]), b: scope.get("b", [2]), c: weights.get("c", [2]) };
		});
		const { a, b, c } = await program.run();
		expect([[...a], [...b], [...c]]).toEqual([
			[3, 6],
			[7, 8],
			[5, 5],
		]);
		const joined = await device.compile((graph) => {
			const inner = set.open(graph);
			const shapes = ["x.a", "x.b", "c"].map((name) => ({ name, shape: [2] }));
			const some = wrapWeights(inner, ({ name, inner: w }) => (name === "x.b" ? mul(w(), -1) : null));
			const none = wrapWeights(inner, () => null);
			expect(none.stack(shapes)).toBe(inner.stack(shapes));
			return { some: some.stack(shapes), none: none.stack(shapes) };
		});
		const stacks = await joined.run();
		expect([[...stacks.some], [...stacks.none]]).toEqual([
			[1, 2, -10, -20, 5, 5],
			[1, 2, 10, 20, 5, 5],
		]);
		const bad = wrapWeights(set.open(new Graph()), () => null);
		expect(() => bad.get("nothing", [2])).toThrow('"nothing" [2] is missing');
	});
});
