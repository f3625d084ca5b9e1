// Activations in 16 bits: what the rewritten graph stores, and that the CPU computes it as the interpreter does.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { storeActivationsIn } from "../../src/compile/activations.js";
import { frozenContents } from "../../src/device/contents.js";
import { type Device, Graph, interpret, openDevice, type Value } from "../../src/index.js";
import { nodesBehind } from "../../src/interpret/interpreter.js";
import { MixedWeights, mixedInputs, mixedNetwork } from "./mixed-network.js";

const norm = (x: ArrayLike<number>, minus?: ArrayLike<number>) =>
	Math.sqrt(Array.from(x).reduce((sum, value, i) => sum + (value - (minus ? minus[i]! : 0)) ** 2, 0));

describe("activations in 16 bits", () => {
	let device: Device;
	beforeAll(async () => {
		device = await openDevice("cpu", { threads: 1, activations: "bf16", unfused: true });
	});
	afterAll(() => device.dispose());

	function rewritten() {
		const graph = new Graph();
		const outputs = mixedNetwork(graph, new MixedWeights());
		const values = Object.values(outputs);
		const result = storeActivationsIn("bf16", device.weights, nodesBehind(values), values, []);
		return { names: Object.keys(outputs), ...result };
	}

	it("gives products 16-bit operands, and keeps what goes in and comes out", () => {
		const { nodes, outputs, graph } = rewritten();
		for (const node of nodes) {
			if (node.op.name === "matmul") expect(node.inputs.slice(0, 2).map((x) => x!.dtype)).toEqual(["bf16", "bf16"]);
			if (node.op.name === "conv2d") expect(node.inputs[2]!.dtype).toBe("bf16");
			if (node.op.name === "attentionGrad") expect(node.inputs[5]!.dtype).toBe("bf16");
			if (node.op.name === "groupNorm") expect(node.inputs[2]!.dtype).toBe("f32");
		}
		expect(outputs.map(({ dtype }) => dtype)).toEqual(["f32", "f32", "f32", "f32"]);
		expect(graph.inputs.every(({ dtype }) => dtype === "f32")).toBe(true);
	});

	it("writes a prediction, and the gradient of a trained weight, in f32 at once", () => {
		const { names, outputs } = rewritten();
		const made = (name: string): Value => outputs[names.indexOf(name)]!;
		expect(made("prediction").node.op.name).toBe("conv2d");
		expect(made("weightGrad").node.op.name).toBe("matmul");
	});

	it("computes losses and statistics in f32", () => {
		const { nodes } = rewritten();
		for (const node of nodes) {
			if (node.op.name === "reduce") expect(node.outputs[0]!.dtype).toBe("f32");
			if (/Norm$/.test(node.op.name)) expect(node.outputs[1]!.dtype).toBe("f32");
		}
	});

	it("converts a weight once, when it is packed", () => {
		const { nodes } = rewritten();
		expect(nodes.some((node) => node.op.name === "cast" && node.inputs[0]!.node.op.name === "frozen")).toBe(false);
	});

	it("without fusion computes on the CPU what the interpreter computes", async () => {
		const weights = new MixedWeights();
		const program = await device.compile((graph) => mixedNetwork(graph, weights));
		const inputs = mixedInputs("cpu");
		const got = await program.run(inputs, { poison: true });
		const values = Object.values(program.outputs);
		const frozen = await frozenContents(device, nodesBehind(values));
		const want = interpret(values, { precision: "typed", inputs, frozen: (tensor) => frozen.get(tensor)! });
		for (const [name, value] of Object.entries(program.outputs)) {
			// Where f32 and float64 sums fall on two sides of a rounding boundary, results differ by one rounding.
			expect(norm(got[name]!, want.get(value)!) / norm(want.get(value)!), name).toBeLessThan(4e-3);
		}
		program.dispose();
	});

	it("says so, and checks op by op with a bound of its own", async () => {
		const weights = new MixedWeights();
		const program = await device.compile((graph) => mixedNetwork(graph, weights));
		expect(String(device)).toContain("bf16");
		expect(String(program)).toContain(":bf16");
		expect((await program.check(mixedInputs("check"))).first).toBeNull();
		program.dispose();
	});
});
