import { PictureSampler, PromptEncoder } from "@dreamdist/core";
import { z } from "zod";
import type { CaseKind } from "../case.js";
import { pixelsFirst, pixelsLast } from "../layout.js";
import { frameOf, promptModel, readPrompts, wordsSchema } from "../prompt-model.js";

const BOUND = 1e-3;

const attributesSchema = wordsSchema.extend({
	guidance_scale: z.number(),
	steps: z.int().min(1),
	std_scale: z.number().default(1),
	scheduler: z.string().default("ddim"),
});

/** A picture of one sampled prompt, from given ω and noise. */
export const generateCase: CaseKind = async (one) => {
	const { guidance_scale: guidance, steps, std_scale: gamma, scheduler, ...words } = one.read(attributesSchema);
	const model = await promptModel(one, scheduler);
	const tokens = await readPrompts(one, "tokens");
	const noise = await one.input("noise");
	const [, , h = 0, w = 0] = noise.shape;
	const { factor } = model.autoencoder;
	const encoder = new PromptEncoder(model.device, model.textEncoder);
	let sampler: PictureSampler | null = null;
	try {
		const { distribution } = await encoder.fit(tokens, frameOf(model, tokens.vectors, words));
		const context = distribution.scale(gamma).sampleWith((await one.input("omega")).data);
		const uncond = await encoder.encodeText("");
		sampler = await PictureSampler.create(
			model,
			{ size: [w * factor, h * factor], steps, guidance },
			one.runner.signal,
		);
		const request = { features: context, noise: pixelsFirst(noise), seed: 0, index: 0 };
		const [latents] = await sampler.latents([request], uncond, one.runner.options);
		const results = {
			context: () => context,
			uncond: () => uncond,
			latents: () => pixelsLast(latents!, noise.shape),
		};
		for (const [name, result] of Object.entries(results)) if (one.has(name)) await one.compare(name, result(), BOUND);
		if (!one.has("image")) return;
		const { shape } = await one.input("image");
		await one.compare("image", pixelsLast(await sampler.decode(latents!, one.runner.signal), shape), BOUND);
	} finally {
		one.runner.launches += encoder.launches + (sampler?.launches ?? 0);
		sampler?.dispose();
		encoder.dispose();
	}
};
