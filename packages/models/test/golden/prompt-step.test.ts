// The program of a learning step against the same step in PyTorch: prompt_step.py beside this file, whose numbers are prompt-step.json.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
	compileLearningStep,
	createNoiseSchedule,
	type Denoiser,
	frameData,
	framePrompt,
	openDevice,
	packFrames,
	RECOMPUTE_LEVELS,
	type TextEncoder,
	type Tokenizer,
	TokenState,
	timestepScalars,
} from "@dreamdist/core";
import { expect, it } from "vitest";
import { clipTextModel, clipTokenEmbeddings } from "../../src/networks/clip-text.js";
import { readClipTextConfig } from "../../src/networks/clip-text-config.js";
import { textEncoderWeights, unetWeights } from "../../src/networks/declare.js";
import { unet } from "../../src/networks/unet.js";
import { readUNetConfig } from "../../src/networks/unet-config.js";
import { relativeError } from "../../src/verify/report.js";
import { hashedWeights } from "../../src/weights/formula.js";

interface Golden {
	readonly weights: { readonly text: number; readonly unet: number };
	readonly steps: readonly {
		readonly loss: number;
		readonly errors: readonly number[];
		readonly orthogonal: number;
		readonly gradientNorm: number;
		readonly gradient: readonly number[];
		readonly tokens: readonly number[];
	}[];
}

const golden = JSON.parse(readFileSync(join(import.meta.dirname, "prompt-step.json"), "utf8")) as Golden;

const [D, LENGTH, K, M, S, B, SIDE] = [32, 12, 3, 2, 2, 2, 4];
const LAMBDA = 0.05;
const SALT = 5;
/** Below the first gradient's norm, above the second's. */
const CLIP = 0.1;

const textConfig = readClipTextConfig({
	hidden_size: D,
	num_hidden_layers: 2,
	num_attention_heads: 2,
	intermediate_size: 64,
	hidden_act: "gelu",
	vocab_size: 20,
	max_position_embeddings: LENGTH,
});
const unetConfig = readUNetConfig({
	block_out_channels: [32, 64],
	down_block_types: ["CrossAttnDownBlock2D", "DownBlock2D"],
	up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D"],
	layers_per_block: 1,
	attention_head_dim: [2, 4],
	cross_attention_dim: D,
	use_linear_projection: true,
	norm_num_groups: 8,
});
const textWeights = hashedWeights(textEncoderWeights(textConfig), SALT);
const denoiserWeights = hashedWeights(unetWeights(unetConfig), SALT);

const tokenizer: Tokenizer = {
	length: LENGTH,
	vocabularySize: 20,
	startId: 18,
	endId: 19,
	padId: 0,
	tokenize: () => [],
	encode: () => ({ ids: new Int32Array(LENGTH), endPosition: 1, truncated: null }),
	decode: () => "",
};
const textEncoder: TextEncoder = {
	tokenizer,
	width: D,
	length: LENGTH,
	embed: (ids) => clipTokenEmbeddings(textWeights.open(ids.graph), textConfig, ids),
	encode: (embeddings) => clipTextModel(textWeights.open(embeddings.graph), textConfig, embeddings),
};
const denoiser: Denoiser = {
	latentChannels: 4,
	contextWidth: D,
	sizeMultiple: 2,
	sampleSize: null,
	predict: (latents, timesteps, context, options) =>
		unet(denoiserWeights.open(latents.graph), unetConfig, { latents, timesteps, context }, options),
};

const wave = (count: number, a: number, b: number, scale = 1) =>
	Float32Array.from({ length: count }, (_, n) => scale * Math.fround(Math.sin(a * n * n + b * n)));

/** [B, 4, h, w] → [B, h, w, 4] */
function channelsLast(data: Float32Array): Float32Array {
	const pixels = SIDE * SIDE;
	return data.map((_, i) => {
		const [picture, pixel, channel] = [Math.floor(i / (4 * pixels)), Math.floor(i / 4) % pixels, i % 4];
		return data[(picture * 4 + channel) * pixels + pixel]!;
	});
}

it.each(RECOMPUTE_LEVELS)("takes PyTorch's steps, recomputing %s", async (recompute) => {
	expect({ text: textWeights.tensors.size, unet: denoiserWeights.tensors.size }).toEqual(golden.weights);
	const device = await openDevice("cpu", { threads: 2 });
	const start = wave(K * M * D, 0.0037, 0.9, 0.5);
	const state = await TokenState.create(device, [1, K, M, D], start, { classes: 1, rows: null, accumulate: 1 });
	try {
		const program = await compileLearningStep(device, { textEncoder, denoiser }, state, {
			batch: B,
			samples: S,
			encodedRows: 1,
			latents: [SIDE, SIDE, 4],
			orthogonal: "paper",
			randomness: "given",
			scalingFactor: 1,
			recompute,
		});
		const schedule = createNoiseSchedule({
			trainTimesteps: 1000,
			betaStart: 0.00085,
			betaEnd: 0.012,
			betaSchedule: "scaled_linear",
			trainedBetas: null,
			rescaleBetasZeroSnr: false,
			predictionType: "v_prediction",
		});
		const frame = framePrompt(tokenizer, M, { prefix: [5], suffix: [7] });
		let before = start;
		for (const [i, expected] of golden.steps.entries()) {
			const timesteps = [
				[120, 700],
				[431, 5],
			][i]!;
			const result = await program.run({
				...frameData(packFrames([frame], K)),
				latents: channelsLast(wave(B * 4 * SIDE * SIDE, 0.013, 0.7 + i)),
				noise: channelsLast(wave(B * 4 * SIDE * SIDE, 0.017, 1.1 + i, 1.3)),
				omega: wave(S * LENGTH * D, 0.0071, 0.3 + i, 1.4),
				timesteps,
				scalars: timestepScalars(schedule, timesteps),
				orthogonalWeight: LAMBDA,
				...state.inputs([i + 1], 0, { lr: 1e-2, clip: CLIP }),
			});
			expect(relativeError(result.loss, [expected.loss])).toBeLessThan(1e-5);
			expect(relativeError(result.errors, expected.errors)).toBeLessThan(1e-5);
			expect(relativeError(result.orthogonal, [expected.orthogonal])).toBeLessThan(1e-5);
			expect(relativeError(result.gradientNorm, [expected.gradientNorm])).toBeLessThan(1e-4);
			if (i === 0) {
				// The first moment is a tenth of the clipped gradient.
				const scale = Math.min(1, CLIP / (expected.gradientNorm + 1e-6)) * 0.1;
				const clipped = expected.gradient.map((value) => value * scale);
				expect(relativeError(await state.moments[0].read(), clipped)).toBeLessThan(1e-4);
			}
			const tokens = Float32Array.from(await state.tokens.read());
			const change = (after: ArrayLike<number>) => Array.from(before, (value, at) => after[at]! - value);
			expect(relativeError(change(tokens), change(expected.tokens))).toBeLessThan(1e-3);
			before = Float32Array.from(expected.tokens);
			await state.tokens.write(before);
		}
		program.dispose();
	} finally {
		state.dispose();
		device.dispose();
	}
});
