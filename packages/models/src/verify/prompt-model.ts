// The model of a case about prompts, and what such cases have in common.
import {
	ArgumentError,
	createNoiseSchedule,
	type Device,
	type FrozenModel,
	framePrompt,
	type PromptFrame,
	type PromptTokens,
	readSchedulerConfig,
	type SchedulerConfig,
} from "@dreamdist/core";
import { z } from "zod";
import { AUTOENCODER, TEXT_ENCODER, UNET } from "../loading/components.js";
import { asAutoencoder, asDenoiser, asTextEncoder } from "../pipeline/networks.js";
import type { VerifyCase } from "./case.js";

const ids = z.array(z.int()).default([]);

/** Token ids around the learned vectors. */
export const wordsSchema = z.object({ prefix_ids: ids, suffix_ids: ids });
export type Words = z.infer<typeof wordsSchema>;

/** The networks that a case names, as methods take them; `sampler` in place of the model's own. */
export async function promptModel(one: VerifyCase, sampler = "ddim"): Promise<FrozenModel> {
	const files = await one.model();
	const { json, source } = await files.scheduler();
	const config = (name: string): SchedulerConfig =>
		readSchedulerConfig(json, { overrides: { sampler: name }, source, latents: true });
	const device: Device = one.runner.device;
	return {
		device,
		textEncoder: asTextEncoder(await one.component(TEXT_ENCODER), await files.tokenizer()),
		denoiser: asDenoiser(await one.component(UNET)),
		autoencoder: asAutoencoder(await one.component(AUTOENCODER)),
		noiseSchedule: createNoiseSchedule(config("ddim")),
		scheduler: config(sampler),
		identity: { id: files.path, hash: "" },
	};
}

/** Prompts [K, M, d]. */
export async function readPrompts(one: VerifyCase, name: string): Promise<PromptTokens> {
	const { data, shape } = await one.input(name);
	if (shape.length !== 3) throw new ArgumentError(`"${name}" must be [K, M, d], not [${shape.join(", ")}]`);
	const [prompts, vectors, width] = shape as [number, number, number];
	return { data, prompts, vectors, width };
}

export function frameOf(model: FrozenModel, vectors: number, words: Words): PromptFrame {
	const { prefix_ids: prefix, suffix_ids: suffix } = words;
	return framePrompt(model.textEncoder.tokenizer, vectors, { prefix, suffix });
}
