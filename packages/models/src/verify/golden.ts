// Small networks on weights defined by a formula, and what the reference libraries (PyTorch in f32, diffusers, transformers) compute with them.
import type { Graph, InputData, Value } from "@dreamdist/core";
import { decodeLatents, encodePictures } from "../networks/autoencoder.js";
import { readAutoencoderConfig } from "../networks/autoencoder-config.js";
import { clipTextModel, clipTokenEmbeddings } from "../networks/clip-text.js";
import { readClipTextConfig } from "../networks/clip-text-config.js";
import { autoencoderWeights, textEncoderWeights, unetWeights } from "../networks/declare.js";
import { unet } from "../networks/unet.js";
import { readUNetConfig } from "../networks/unet-config.js";
import { formulaWeights } from "../weights/formula.js";
import { channelsFirst, channelsLast } from "./layout.js";

/** Numbers of an output: its mean, its unbiased standard deviation, and single elements by their index. */
export interface GoldenOutput {
	readonly mean: number;
	readonly std?: number;
	readonly elements: readonly (readonly [index: readonly number[], value: number])[];
}

export interface GoldenNetwork {
	readonly weights: ReturnType<typeof formulaWeights>;
	readonly inputs: Readonly<Record<string, InputData>>;
	/** Writes the network; outputs have the channels first. */
	build(graph: Graph): Record<string, Value>;
	readonly expected: Readonly<Record<string, GoldenOutput>>;
}

const wave = (length: number, f: (n: number) => number) => Float32Array.from({ length }, (_, n) => f(n));

function textEncoder(): GoldenNetwork {
	const config = readClipTextConfig({
		hidden_size: 64,
		num_hidden_layers: 3,
		num_attention_heads: 2,
		intermediate_size: 256,
		hidden_act: "gelu",
		vocab_size: 100,
		max_position_embeddings: 16,
	});
	const weights = formulaWeights(textEncoderWeights(config));
	return {
		weights,
		inputs: { ids: [98, 5, 6, 7, 99, ...new Array<number>(11).fill(0)] },
		build: (graph) => {
			const door = weights.open(graph);
			return {
				features: clipTextModel(door, config, clipTokenEmbeddings(door, config, graph.input("ids", [1, 16], "i32"))),
			};
		},
		expected: {
			features: {
				mean: 0.00037,
				std: 1.007467,
				elements: [
					[[0, 0, 0], 1.923333],
					[[0, 4, 10], -0.734677],
					[[0, 15, 63], -0.23069],
				],
			},
		},
	};
}

function denoiser(): GoldenNetwork {
	const config = readUNetConfig({
		block_out_channels: [64, 128, 128, 128],
		attention_head_dim: [1, 2, 2, 2],
		cross_attention_dim: 32,
		use_linear_projection: true,
	});
	const weights = formulaWeights(unetWeights(config));
	return {
		weights,
		inputs: {
			sample: wave(2 * 4 * 16 * 16, (n) => Math.sin(0.1 * n)),
			timesteps: [981, 1],
			context: wave(2 * 7 * 32, (n) => Math.cos(0.05 * n)),
		},
		build: (graph) => {
			const latents = channelsLast(graph.input("sample", [2, 4, 16, 16]));
			const timesteps = graph.input("timesteps", [2]);
			const context = graph.input("context", [2, 7, 32]);
			return { output: channelsFirst(unet(weights.open(graph), config, { latents, timesteps, context })) };
		},
		expected: {
			output: {
				mean: -0.398442,
				std: 0.348373,
				elements: [
					[[0, 0, 0, 0], -0.32126],
					[[1, 3, 15, 15], 0.214609],
					[[0, 2, 7, 9], -0.189264],
				],
			},
		},
	};
}

function autoencoder(): GoldenNetwork {
	const config = readAutoencoderConfig({
		block_out_channels: [32, 64, 64, 64],
		layers_per_block: 2,
		down_block_types: new Array(4).fill("DownEncoderBlock2D"),
		up_block_types: new Array(4).fill("UpDecoderBlock2D"),
	});
	const weights = formulaWeights(autoencoderWeights(config));
	return {
		weights,
		inputs: { image: wave(3 * 32 * 32, (n) => Math.sin(0.01 * n)) },
		build: (graph) => {
			const door = weights.open(graph);
			const { mean, logVariance } = encodePictures(door, config, channelsLast(graph.input("image", [1, 3, 32, 32])));
			return {
				mean: channelsFirst(mean),
				logvar: channelsFirst(logVariance),
				decoded: channelsFirst(decodeLatents(door, config, mean)),
			};
		},
		expected: {
			mean: {
				mean: 0.042916,
				elements: [
					[[0, 0, 0, 0], 0.03216],
					[[0, 3, 3, 3], 0.055781],
				],
			},
			logvar: { mean: -0.016184, elements: [] },
			decoded: {
				mean: 0.036366,
				std: 0.06734,
				elements: [
					[[0, 0, 0, 0], 0.026293],
					[[0, 2, 31, 31], 0.048875],
				],
			},
		},
	};
}

/** Made when asked for: the weights are a few million numbers. */
export const GOLDEN_NETWORKS: Readonly<Record<string, () => GoldenNetwork>> = {
	text_encoder: textEncoder,
	unet: denoiser,
	vae: autoencoder,
};

/** ᾱ of Stable Diffusion's schedule, by timestep. */
export const GOLDEN_ALPHAS: readonly (readonly [timestep: number, value: number])[] = [
	[0, 0.99914998],
	[1, 0.99829602],
	[500, 0.27633247],
	[981, 0.0057755],
	[999, 0.0046601],
];

/** Where samplers end from [0.7, −1.3] times the initial σ in 10 steps, the model being 0.3·x + 0.2·cos(t/100). */
export const GOLDEN_SAMPLES: Readonly<Record<string, { v_prediction: readonly number[]; epsilon: readonly number[] }>> =
	{
		ddim: { v_prediction: [0.39390859, -0.73507893], epsilon: [2.93774557, -4.89750862] },
		pndm: { v_prediction: [0.35906246, -0.78574485], epsilon: [2.46806002, -4.77553272] },
		euler: { v_prediction: [0.37899005, -0.69625098], epsilon: [4.84236336, -7.01113272] },
		"dpmsolver++2m": { v_prediction: [0.42208606, -0.77870852], epsilon: [4.30233765, -6.53306627] },
		"dpmsolver++2m_karras": { v_prediction: [0.45968774, -0.919846], epsilon: [3.990667, -6.337419] },
		unipc: { v_prediction: [0.4190053, -0.78853774], epsilon: [4.22319, -6.487984] },
	};
