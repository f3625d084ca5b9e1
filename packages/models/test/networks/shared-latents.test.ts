// One set of latents with several text features: the same numbers as one by one, for less work.
import {
	arrayOf,
	type Device,
	declaredWeights,
	gradients,
	interpret,
	mean,
	mul,
	openDevice,
	square,
	type Value,
	type Weights,
} from "@dreamdist/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { formulaWeights, readUNetConfig, type UNetConfig, unet, unetWeights } from "../../src/index.js";
import { relativeError } from "./support.js";

const config = readUNetConfig({
	block_out_channels: [32, 64],
	down_block_types: ["DownBlock2D", "CrossAttnDownBlock2D"],
	up_block_types: ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
	attention_head_dim: [2, 4],
	layers_per_block: 1,
	cross_attention_dim: 16,
	norm_num_groups: 8,
	transformer_layers_per_block: [1, 2],
});
const wave = (length: number, f: (n: number) => number) => Float32Array.from({ length }, (_, n) => f(n));
const latents = wave(2 * 8 * 4 * 4, (n) => Math.sin(0.1 * n));
const context = wave(6 * 5 * 16, (n) => Math.cos(0.7 * n));
const timesteps = [700, 30];

function predict(weights: Weights, batch: number, rows: number, options = {}, network: UNetConfig = config): Value {
	const { graph } = weights;
	return unet(
		weights,
		network,
		{
			latents: graph.input("latents", [batch, 8, 4, 4]),
			timesteps: graph.input("timesteps", [batch]),
			context: graph.input("context", [rows, 5, 16]),
		},
		options,
	);
}

describe("latents shared by text features", () => {
	let device: Device;
	const weights = formulaWeights(unetWeights(config));
	beforeAll(async () => {
		device = await openDevice("cpu", { threads: 2 });
	});
	afterAll(() => device.dispose());

	it("predicts what each pair would alone", async () => {
		const shared = await device.compile((graph) => ({ y: predict(weights.open(graph), 2, 6) }));
		const single = await device.compile((graph) => ({ y: predict(weights.open(graph), 1, 1) }));
		const { y } = await shared.run({ latents, timesteps, context });
		for (let row = 0; row < 6; row++) {
			const b = Math.floor(row / 3);
			const alone = await single.run({
				latents: latents.subarray(b * 128, (b + 1) * 128),
				timesteps: [timesteps[b]!],
				context: context.subarray(row * 80, (row + 1) * 80),
			});
			expect(relativeError(y.subarray(row * 128, (row + 1) * 128), alone.y)).toBeLessThan(1e-5);
		}
	});

	it("runs everything before the first cross-attention once per latents", () => {
		const batches = new Map<string, number>();
		declaredWeights((graph, door) => {
			predict(door, 2, 6);
			for (const node of graph.nodes) if (!node.op.leaf) batches.set(node.path, node.outputs[0]!.shape[0]!);
		});
		expect(batches.get("conv_in")).toBe(2);
		expect(batches.get("down_blocks.0.resnets.0.conv2")).toBe(2);
		const block = "down_blocks.1.attentions.0.transformer_blocks.0";
		expect(batches.get(`${block}.attn1`)).toBe(2);
		expect(batches.get(`${block}.attn2.to_q`)).toBe(2);
		expect(batches.get(`${block}.attn2`)).toBe(6);
		expect(batches.get("down_blocks.1.attentions.0.transformer_blocks.1.attn1")).toBe(6);
		expect(batches.get("conv_out")).toBe(6);
	});

	it("makes all keys and values of the text in one product, and their gradient in one", () => {
		declaredWeights((graph, door) => {
			const y = predict(door, 2, 6);
			const context = graph.inputs.find((value) => value.node.attributes.name === "context")!;
			const readers = () => graph.nodes.filter((node) => node.inputs.includes(context));
			expect(readers().map((node) => node.op.name)).toEqual(["matmul"]);
			// 1 transformer with 2 blocks down, 2 in the middle, and up 2 of 2 and 2 of 1; each with keys and values.
			expect(readers()[0]!.outputs[0]!.shape).toEqual([6, 5, 2 * (2 + 2 + 4) * 64 + 2 * 2 * 32]);
			const [gradient] = gradients(mean(square(y)), [context]);
			let last = gradient!.node;
			while (last.op.name === "reshape") last = last.inputs[0]!.node;
			expect(last.op.name).toBe("matmul");
			expect(last.inputs[0]!.node.op.name).toBe("concat");
		});
	});

	it("has the same gradients whatever is recomputed, and keeps less", async () => {
		const results = [];
		for (const recompute of ["nothing", "geglu", "blocks"] as const) {
			const program = await device.compile((graph) => {
				const y = predict(weights.open(graph), 2, 6, { recompute });
				const [latentsGrad, contextGrad] = gradients(mean(square(y)), [graph.inputs[0]!, graph.inputs[2]!]);
				return { latentsGrad: latentsGrad!, contextGrad: contextGrad! };
			});
			results.push({ ...(await program.run({ latents, timesteps, context })), arena: program.memory.arena });
		}
		const [all, geglu, blocks] = results as [(typeof results)[0], (typeof results)[0], (typeof results)[0]];
		for (const other of [geglu, blocks]) {
			expect(relativeError(other.latentsGrad, all.latentsGrad)).toBeLessThan(1e-6);
			expect(relativeError(other.contextGrad, all.contextGrad)).toBeLessThan(1e-6);
		}
		expect(geglu.arena).toBeLessThan(all.arena);
		expect(blocks.arena).toBeLessThan(geglu.arena);
	});

	it("agrees with the float64 interpreter, gradients included", async () => {
		const program = await device.compile((graph) => {
			const y = predict(weights.open(graph), 1, 2);
			const seed = graph.constant(
				wave(y.size, (n) => Math.sin(n)),
				y.shape,
			);
			const grads = gradients(y, [graph.inputs[0]!, graph.inputs[2]!], seed);
			return { y, latentsGrad: grads[0]!, contextGrad: mul(grads[1]!, 1) };
		});
		const inputs = { latents: latents.subarray(0, 128), timesteps: [700], context: context.subarray(0, 160) };
		const got = await program.run(inputs);
		const { outputs } = program;
		const want = interpret(Object.values(outputs), {
			inputs,
			frozen: (tensor) => arrayOf(tensor) ?? [],
		});
		for (const name of ["y", "latentsGrad", "contextGrad"] as const)
			expect(relativeError(got[name], want.get(outputs[name])!)).toBeLessThan(1e-5);
	});

	it("refuses inputs that do not fit", () => {
		const attempt = (batch: number, rows: number) => () => declaredWeights((_, door) => predict(door, batch, rows));
		expect(attempt(2, 3)).toThrow("text features [a multiple of 2, L, 16]");
		const wide = { ...config, contextWidth: 32 };
		expect(() => declaredWeights((_, door) => predict(door, 1, 1, {}, wide))).toThrow("L, 32]");
	});
});
