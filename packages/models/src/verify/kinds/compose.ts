import { type FeatureDistribution, mixFeatures, PromptEncoder } from "@dreamdist/core";
import { z } from "zod";
import type { CaseKind } from "../case.js";
import { frameOf, promptModel, readPrompts, wordsSchema } from "../prompt-model.js";

const BOUND = 1e-4;

const attributesSchema = wordsSchema.extend({ weights: z.array(z.number()).min(1) });

/** Distributions mixed with weights, by the paper's Eq. 7. */
export const composeCase: CaseKind = async (one) => {
	const { weights, ...words } = one.read(attributesSchema);
	const model = await promptModel(one);
	const encoder = new PromptEncoder(model.device, model.textEncoder);
	try {
		const parts: { distribution: FeatureDistribution; weight: number }[] = [];
		for (const [i, weight] of weights.entries()) {
			const tokens = await readPrompts(one, `tokens_${i}`);
			const { distribution } = await encoder.fit(tokens, frameOf(model, tokens.vectors, words));
			parts.push({ distribution, weight });
		}
		const mixed = mixFeatures(parts, "paper");
		await one.compare("mean", mixed.mean, BOUND);
		await one.compare("std", mixed.std, BOUND);
	} finally {
		one.runner.launches += encoder.launches;
		encoder.dispose();
	}
};
