import { compileLearningStep, frameData, packFrames, TokenState, timestepScalars } from "@dreamdist/core";
import { z } from "zod";
import type { CaseKind, VerifyCase } from "../case.js";
import { perRow, pixelsFirst } from "../layout.js";
import { frameOf, promptModel, readPrompts, wordsSchema } from "../prompt-model.js";
import { relativeError } from "../report.js";

const LOSS_BOUND = 1e-4;
/** Of the change since the start: AdamW's first steps divide small gradients by themselves. */
const CHANGE_BOUND = 2e-2;

const attributesSchema = wordsSchema.extend({
	steps: z.int().min(1),
	lr: z.number(),
	betas: z.tuple([z.number(), z.number()]).default([0.9, 0.999]),
	weight_decay: z.number().default(0.01),
	eps: z.number().default(1e-8),
	max_grad_norm: z.number().default(1),
	ortho: z.enum(["abs", "squared"]).default("abs"),
	ortho_weight: z.number().default(0.005),
});

/** Several steps of learning on given latents, noise and ω. */
export const promptTrainCase: CaseKind = async (one) => {
	const settings = one.read(attributesSchema);
	const model = await promptModel(one);
	const { device } = one.runner;
	const given = await readPrompts(one, "tokens");
	const { prompts, vectors, width } = given;
	const [batch, channels, h, w] = (await one.input("latents_0")).shape as [number, number, number, number];
	const state = await TokenState.create(device, [1, prompts, vectors, width], given.data, {
		classes: 1,
		rows: null,
		accumulate: 1,
	});
	const shape = {
		batch,
		samples: (await one.input("omega_0")).shape[0]!,
		encodedRows: 1,
		latents: [h, w, channels],
		orthogonal: settings.ortho === "abs" ? "paper" : "official",
		randomness: "given",
		scalingFactor: 1,
	} as const;
	const program = await compileLearningStep(device, model, state, shape, one.runner.signal);
	try {
		const frames = frameData(packFrames([frameOf(model, vectors, settings)], prompts));
		const optimizer = {
			lr: settings.lr,
			clip: settings.max_grad_norm,
			beta1: settings.betas[0],
			beta2: settings.betas[1],
			weightDecay: settings.weight_decay,
			eps: settings.eps,
		};
		const losses: number[] = [];
		for (let i = 0; i < settings.steps; i++) {
			const timestep = await one.input(`timestep_${i}`);
			const timesteps = perRow(timestep.data, timestep.shape, batch);
			const inputs = {
				...frames,
				latents: pixelsFirst(await one.input(`latents_${i}`)),
				noise: pixelsFirst(await one.input(`noise_${i}`)),
				omega: (await one.input(`omega_${i}`)).data,
				timesteps,
				scalars: timestepScalars(model.noiseSchedule, timesteps),
				orthogonalWeight: settings.ortho_weight,
				...state.inputs([i + 1], 0, optimizer),
			};
			const { loss } = await program.run(inputs, one.runner.options);
			one.runner.launches += program.kernelCalls;
			losses.push(loss[0]!);
			if (one.has(`tokens_${i}`)) await compareChange(one, `tokens_${i}`, given.data, await state.tokens.read());
		}
		if (one.has("losses")) await one.compare("losses", losses, LOSS_BOUND);
	} finally {
		program.dispose();
		state.dispose();
	}
};

async function compareChange(one: VerifyCase, what: string, start: Float32Array, tokens: ArrayLike<number>) {
	const change = (after: ArrayLike<number>) => start.map((value, i) => after[i]! - value);
	const { data } = await one.input(what);
	const ofOneSign = 2 / Math.sqrt(data.length);
	one.note({ what, error: relativeError(change(tokens), change(data)), bound: CHANGE_BOUND, ofOneSign });
}
