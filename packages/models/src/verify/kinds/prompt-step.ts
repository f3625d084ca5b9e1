import {
	add,
	declareFrames,
	denoisingErrors,
	frameData,
	gradients,
	mean,
	mul,
	orthogonalLoss,
	packFrames,
	promptFeatures,
	sampleContexts,
	sum,
	TIMESTEP_SCALARS,
	timestepScalars,
	type Value,
} from "@dreamdist/core";
import { z } from "zod";
import type { CaseKind } from "../case.js";
import { channelsLast, perRow } from "../layout.js";
import { frameOf, promptModel, readPrompts, wordsSchema } from "../prompt-model.js";

const BOUND = 1e-4;
const GRADIENT_BOUND = 5e-4;

const attributesSchema = wordsSchema.extend({ ortho_weight: z.number().default(0.005) });

/** One step of learning: features, Gaussian, losses, and the gradient of each with respect to the vectors. */
export const promptStepCase: CaseKind = async (one) => {
	const { ortho_weight: weight, ...words } = one.read(attributesSchema);
	const model = await promptModel(one);
	const given = await readPrompts(one, "tokens");
	const { prompts, vectors, width } = given;
	const { length } = model.textEncoder;
	const [latents, noise, omega] = [await one.input("latents"), await one.input("noise"), await one.input("omega")];
	const batch = latents.shape[0]!;
	const timestep = await one.input("timestep");
	const timesteps = perRow(timestep.data, timestep.shape, batch);
	const results = await one.runner.run(
		"prompt step",
		(graph) => {
			const tokens = graph.input("tokens", [1, prompts, vectors, width]);
			const frames = declareFrames(graph, { rows: 1, prompts, length, vectors });
			const { hidden, pooled, mean: center, std } = promptFeatures(model.textEncoder, tokens, frames);
			const errors = denoisingErrors(model.denoiser, {
				latents: channelsLast(graph.input("latents", latents.shape)),
				noise: channelsLast(graph.input("noise", noise.shape)),
				timesteps: graph.input("timesteps", [batch]),
				scalars: graph.input("scalars", [batch, TIMESTEP_SCALARS]),
				contexts: sampleContexts(center, std, graph.input("omega", [1, ...omega.shape]), batch),
			});
			const mse = mean(errors);
			const paper = sum(orthogonalLoss(pooled, "paper"));
			const squared = sum(orthogonalLoss(pooled, "official"));
			const gradient = (loss: Value) => gradients(loss, [tokens])[0]!;
			return {
				hidden,
				pooled,
				mean: center,
				std,
				mse,
				ortho_abs: paper,
				ortho_squared: squared,
				grad_mse: gradient(mse),
				grad_ortho_abs: gradient(paper),
				grad_ortho_squared: gradient(squared),
				grad_total: gradient(add(mse, mul(paper, weight))),
			};
		},
		{
			tokens: given.data,
			...frameData(packFrames([frameOf(model, vectors, words)], prompts)),
			omega: omega.data,
			latents: latents.data,
			noise: noise.data,
			timesteps,
			scalars: timestepScalars(model.noiseSchedule, timesteps),
		},
	);
	for (const [name, ours] of Object.entries(results))
		if (one.has(name)) await one.compare(name, ours, name.startsWith("grad_") ? GRADIENT_BOUND : BOUND);
};
