// Encoders on weights by formula: small ones against the float64 interpreter, and numbers stored when the whole reference set agreed.
import {
	arrayOf,
	type Device,
	type HostArray,
	interpret,
	openDevice,
	type Value,
	type WeightSet,
} from "@dreamdist/core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
	clipTextFeatures,
	clipVisionModel,
	clipWeights,
	dinoVit,
	dinov2,
	dinov2Weights,
	dinoWeights,
	endRows,
	hashedWeights,
	inceptionV3,
	inceptionWeights,
	lpipsOfHalves,
	lpipsWeights,
	readClipConfig,
	readDinoConfig,
	readDinov2Config,
} from "../../src/index.js";
import { INCEPTION_NORMS } from "../../src/networks/inception.js";
import { relativeError } from "../../src/verify/report.js";
import { foldBatchNorms } from "../../src/weights/fold-batch-norm.js";
import stored from "./stored.json" with { type: "json" };

/** Sums of the outputs' absolute values, in their order; of LPIPS, the layers' distances. */
const STORED: Readonly<Record<string, readonly number[]>> = stored;
const BOUND = 1e-4;
let device: Device;
beforeAll(async () => {
	device = await openDevice("cpu");
});
afterAll(() => device.dispose());

const wave = (length: number, step = 0.1) => Float32Array.from({ length }, (_, n) => Math.sin(step * n));

const transformer = { hidden_size: 24, num_hidden_layers: 2, num_attention_heads: 3 };
const tower = { ...transformer, intermediate_size: 48 };
const clipConfig = readClipConfig({
	projection_dim: 10,
	vision_config: { ...tower, image_size: 16, patch_size: 8 },
	text_config: { ...tower, vocab_size: 30, max_position_embeddings: 9, eos_token_id: 29 },
});
const dinoConfig = readDinoConfig({ ...tower, image_size: 32, patch_size: 8 });
const dinov2Config = readDinov2Config({ ...transformer, mlp_ratio: 2, image_size: 32, patch_size: 8 });
const swigluConfig = readDinov2Config({
	...transformer,
	mlp_ratio: 2,
	image_size: 32,
	patch_size: 8,
	use_swiglu_ffn: true,
});

interface Subject {
	weights: WeightSet;
	inputs: Record<string, ArrayLike<number>>;
	build(weights: ReturnType<WeightSet["open"]>): Record<string, Value>;
}

const ids = [1, 7, 29, 29, 2, 3, 4, 29];
const pictures = (height: number, width: number) => wave(2 * height * width * 3);

const SUBJECTS: Record<string, () => Subject> = {
	clip: () => ({
		weights: hashedWeights(clipWeights(clipConfig), 3),
		inputs: { pixels: pictures(16, 16), ids, ends: endRows(ids, 4, clipConfig.endToken) },
		build: (weights) => {
			const image = clipVisionModel(weights, clipConfig.vision, weights.graph.input("pixels", [2, 16, 16, 3]));
			const ends = weights.graph.input("ends", [2], "i32");
			const text = clipTextFeatures(weights, clipConfig, weights.graph.input("ids", [2, 4], "i32"), ends);
			return { image: image.embeddings, text: text.embeddings };
		},
	}),
	dino: () => ({
		weights: hashedWeights(dinoWeights(dinoConfig), 3),
		inputs: { pixels: pictures(24, 40) },
		build: (weights) => ({ ...dinoVit(weights, dinoConfig, weights.graph.input("pixels", [2, 24, 40, 3])) }),
	}),
	dinov2: () => ({
		weights: hashedWeights(dinov2Weights(dinov2Config), 3),
		inputs: { pixels: pictures(24, 40) },
		build: (weights) => ({ ...dinov2(weights, dinov2Config, weights.graph.input("pixels", [2, 24, 40, 3])) }),
	}),
	"dinov2 with SwiGLU": () => ({
		weights: hashedWeights(dinov2Weights(swigluConfig), 3),
		inputs: { pixels: pictures(32, 32) },
		build: (weights) => ({ ...dinov2(weights, swigluConfig, weights.graph.input("pixels", [2, 32, 32, 3])) }),
	}),
};

function evaluate(subject: Subject): Promise<Record<string, HostArray>> {
	return device
		.compile((graph) => subject.build(subject.weights.open(graph)))
		.then((program) => program.run(subject.inputs));
}

const sizeOf = (data: ArrayLike<number>) => Array.from(data).reduce((sum, x) => sum + Math.abs(x), 0);

describe("encoders compute what the interpreter computes, and what they always computed", () => {
	test.each(Object.keys(SUBJECTS))("%s", async (name) => {
		const subject = SUBJECTS[name]!();
		let outputs: Record<string, Value> = {};
		const program = await device.compile((graph) => {
			outputs = subject.build(subject.weights.open(graph));
			return outputs;
		});
		const results = await program.run(subject.inputs);
		const contents = interpret(Object.values(outputs), {
			inputs: subject.inputs,
			frozen: (tensor) => arrayOf(tensor) ?? [],
		});
		for (const [output, value] of Object.entries(outputs))
			expect(relativeError(results[output]!, contents.get(value)!), output).toBeLessThan(1e-5);
		expect(relativeError(Object.values(results).map(sizeOf), STORED[name]!)).toBeLessThan(BOUND);
	});

	test.each(["alex", "vgg"] as const)("LPIPS with %s", async (network) => {
		const weights = hashedWeights(lpipsWeights(network), 1);
		const inputs = { pixels: wave(2 * 40 * 48 * 3, 0.013) };
		const subject: Subject = {
			weights,
			inputs,
			build: (door) => {
				const layers = lpipsOfHalves(door, network, door.graph.input("pixels", [2, 40, 48, 3]));
				return Object.fromEntries(layers.map((value, i) => [`layer${i}`, value]));
			},
		};
		const layers = Object.values(await evaluate(subject)).map((data) => data[0]!);
		expect(relativeError(layers, STORED[network]!)).toBeLessThan(BOUND);
	});

	test("Inception, its norms apart and folded", { timeout: 60_000 }, async () => {
		const weights = hashedWeights(inceptionWeights(), 1);
		const pixels = wave(75 * 75 * 3, 0.0171);
		for (const each of [weights, foldBatchNorms(weights, INCEPTION_NORMS)]) {
			const program = await device.compile((graph) => {
				return { ...inceptionV3(each.open(graph), graph.input("pixels", [1, 75, 75, 3])) };
			});
			const { mean64, mean192, mean768, features, logits } = await program.run({ pixels });
			const sizes = [mean64, mean192, mean768, features, logits].map(sizeOf);
			expect(relativeError(sizes, STORED.inception!)).toBeLessThan(BOUND);
			program.dispose();
			each.release(device);
		}
	});
});
