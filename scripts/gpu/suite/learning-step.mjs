// A step of learning a distribution of prompts, outside of a run: no pictures, latents as the autoencoder would give them.
import { compileLearningStep, frameData, frameWords, packFrames, TokenState, timestepScalars } from "@dreamdist/core";
import { keys, noise } from "./numbers.mjs";

const OPTIMIZER = { lr: 1e-3, clip: 1, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.01 };

/**
 * Compiles a step for K prompts of M vectors, S samples and pictures of `size` pixels.
 *
 * @returns the program, its state, and the inputs of step number n (from 1)
 */
export async function learningStep(pipe, { prompts, vectors, samples, batch, size }) {
	const { device, textEncoder, denoiser, autoencoder } = pipe;
	const shape = [1, prompts, vectors, textEncoder.width];
	const tokens = noise(shape.reduce((a, b) => a * b)).map((x) => 0.02 * x);
	const state = await TokenState.create(device, shape, tokens, { classes: 1, rows: null, accumulate: 1 });
	const side = size / autoencoder.factor;
	const latents = [side, side, denoiser.latentChannels];
	const program = await compileLearningStep(device, { textEncoder, denoiser }, state, {
		batch,
		samples,
		encodedRows: 1,
		latents,
		orthogonal: "paper",
		randomness: "seeded",
		scalingFactor: autoencoder.scale,
	});
	const frame = frameWords(textEncoder.tokenizer, vectors);
	const inputs = (step) => {
		const timesteps = Array.from({ length: batch }, (_, i) => (137 * step + 211 * i) % 1000);
		return {
			...frameData(packFrames([frame], prompts)),
			...state.inputs([step], 0, OPTIMIZER),
			moments: noise(2 * batch * latents.reduce((a, b) => a * b), 7),
			timesteps,
			scalars: timestepScalars(pipe.noiseSchedule, timesteps),
			latentKeys: keys(batch, 10 * step + 1),
			noiseKeys: keys(batch, 10 * step + 2),
			offsetKeys: keys(batch, 10 * step + 3),
			omegaKeys: keys(batch * samples, 10 * step + 4),
			noiseOffset: 0,
			orthogonalWeight: 0.005,
		};
	};
	return { program, state, inputs };
}
