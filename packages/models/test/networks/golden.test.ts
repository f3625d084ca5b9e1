// The networks on weights defined by a formula, against numbers computed with the reference libraries (PyTorch in f32; diffusers, transformers).
import { type Device, declaredWeights, openDevice, transpose, type Value, type Weights } from "@dreamdist/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
	clipTextModel,
	clipTokenEmbeddings,
	decodeLatents,
	encodePictures,
	formulaWeights,
	readAutoencoderConfig,
	readClipTextConfig,
	readUNetConfig,
	unet,
} from "../../src/index.js";
import { statistics } from "./support.js";

const toPixelsLast = (x: Value) => transpose(x, [0, 2, 3, 1]);
const toPixelsFirst = (x: Value) => transpose(x, [0, 3, 1, 2]);
const wave = (length: number, f: (n: number) => number) => Float32Array.from({ length }, (_, n) => f(n));

describe("networks on formula weights", () => {
	let device: Device;
	beforeAll(async () => {
		device = await openDevice("cpu", { threads: 2 });
	});
	afterAll(() => device.dispose());

	it("text encoder", async () => {
		const config = readClipTextConfig({
			hidden_size: 64,
			num_hidden_layers: 3,
			num_attention_heads: 2,
			intermediate_size: 256,
			hidden_act: "gelu",
			vocab_size: 100,
			max_position_embeddings: 16,
		});
		const encode = (weights: Weights, ids: Value) =>
			clipTextModel(weights, config, clipTokenEmbeddings(weights, config, ids));
		const shapes = declaredWeights((graph, weights) => encode(weights, graph.input("ids", [1, 16], "i32")));
		expect(shapes.size).toBe(52);
		const weights = formulaWeights(shapes);
		const program = await device.compile((graph) => ({
			features: encode(weights.open(graph), graph.input("ids", [1, 16], "i32")),
		}));
		const { features } = await program.run({ ids: [98, 5, 6, 7, 99, ...new Array(11).fill(0)] });
		const { mean, std } = statistics(features);
		expect(mean).toBeCloseTo(0.00037, 5);
		expect(std).toBeCloseTo(1.007467, 5);
		expect(features[0]).toBeCloseTo(1.923333, 5);
		expect(features[4 * 64 + 10]).toBeCloseTo(-0.734677, 5);
		expect(features[15 * 64 + 63]).toBeCloseTo(-0.23069, 5);
	});

	it("UNet", async () => {
		const config = readUNetConfig({
			block_out_channels: [64, 128, 128, 128],
			attention_head_dim: [1, 2, 2, 2],
			cross_attention_dim: 32,
			use_linear_projection: true,
		});
		const predict = (weights: Weights) => {
			const { graph } = weights;
			const latents = toPixelsLast(graph.input("x", [2, 4, 16, 16]));
			const inputs = { latents, timesteps: graph.input("t", [2]), context: graph.input("c", [2, 7, 32]) };
			return toPixelsFirst(unet(weights, config, inputs));
		};
		const shapes = declaredWeights((_, weights) => predict(weights));
		expect(shapes.size).toBe(684);
		const weights = formulaWeights(shapes);
		const program = await device.compile((graph) => ({ y: predict(weights.open(graph)) }));
		const { y } = await program.run({
			x: wave(2 * 4 * 16 * 16, (n) => Math.sin(0.1 * n)),
			t: [981, 1],
			c: wave(2 * 7 * 32, (n) => Math.cos(0.05 * n)),
		});
		const at = (n: number, c: number, h: number, w: number) => y[((n * 4 + c) * 16 + h) * 16 + w];
		const { mean, std } = statistics(y);
		expect(mean).toBeCloseTo(-0.398442, 5);
		expect(std).toBeCloseTo(0.348373, 5);
		expect(at(0, 0, 0, 0)).toBeCloseTo(-0.32126, 5);
		expect(at(1, 3, 15, 15)).toBeCloseTo(0.214609, 5);
		expect(at(0, 2, 7, 9)).toBeCloseTo(-0.189264, 5);
	});

	it("autoencoder", async () => {
		const config = readAutoencoderConfig({
			block_out_channels: [32, 64, 64, 64],
			layers_per_block: 2,
			down_block_types: new Array(4).fill("DownEncoderBlock2D"),
			up_block_types: new Array(4).fill("UpDecoderBlock2D"),
		});
		const both = (weights: Weights) => {
			const picture = toPixelsLast(weights.graph.input("image", [1, 3, 32, 32]));
			const { mean, logVariance } = encodePictures(weights, config, picture);
			const decoded = toPixelsFirst(decodeLatents(weights, config, mean));
			return { mean: toPixelsFirst(mean), logVariance, decoded };
		};
		const shapes = declaredWeights((_, weights) => both(weights));
		expect(shapes.size).toBe(244);
		const weights = formulaWeights(shapes);
		const program = await device.compile((graph) => both(weights.open(graph)));
		const { mean, logVariance, decoded } = await program.run({ image: wave(3 * 32 * 32, (n) => Math.sin(0.01 * n)) });
		expect(statistics(mean).mean).toBeCloseTo(0.042916, 5);
		expect(mean[0]).toBeCloseTo(0.03216, 5);
		expect(mean[(3 * 4 + 3) * 4 + 3]).toBeCloseTo(0.055781, 5);
		expect(statistics(logVariance).mean).toBeCloseTo(-0.016184, 5);
		expect(statistics(decoded).mean).toBeCloseTo(0.036366, 5);
		expect(statistics(decoded).std).toBeCloseTo(0.06734, 5);
		expect(decoded[0]).toBeCloseTo(0.026293, 5);
		expect(decoded[(2 * 32 + 31) * 32 + 31]).toBeCloseTo(0.048875, 5);
	});
});
