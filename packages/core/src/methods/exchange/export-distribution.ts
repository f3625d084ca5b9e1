// A distribution for other programs: features as plain conditioning, the official code's .npz, embeddings of Textual Inversion.
import { writeNpz } from "../../data/numpy/index.js";
import { writeSafetensors } from "../../data/safetensors/index.js";
import { TensorToSave, writeTorch } from "../../data/torch/index.js";
import { ArgumentError } from "../../errors.js";
import type { PromptDistribution } from "../prompts/distribution.js";
import { CONDITIONING, FittedDistribution } from "../prompts/fitted-distribution.js";
import { nearestWords } from "../prompts/inspect.js";
import type { PromptEncoder } from "../prompts/prompt-encoder.js";

/** Features of one prompt, [L, d]. */
export interface Conditioning {
	readonly features: Float32Array;
	readonly length: number;
	readonly width: number;
}

/**
 * Writes `prompt_embeds` [L, d], f32: what a diffusion model reads in place of an encoded text.
 *
 * @param record where it comes from, kept as metadata
 */
export async function writeConditioning(
	path: string,
	{ features, length, width }: Conditioning,
	record: Readonly<Record<string, unknown>>,
): Promise<void> {
	await writeSafetensors(
		path,
		{ [CONDITIONING]: { dtype: "F32", shape: [length, width], data: features } },
		{ metadata: { format: "dreamdist.conditioning", version: "1", source: JSON.stringify(record) } },
	);
}

/**
 * Writes the Gaussians of all classes as the official code does: `means` and `stds` [C, L, d], f64, and `prompt_texts`, the nearest words
 * of each mean prompt; with classes also `class_names`, which that code ignores. Deviations are scaled by the distribution's γ.
 *
 * @param encoder needed unless the distribution is fitted already
 */
export async function writeOfficialNpz(
	path: string,
	distribution: PromptDistribution | FittedDistribution,
	encoder: PromptEncoder | null,
): Promise<void> {
	const { classes } = distribution;
	const means: Float64Array[] = [];
	const stds: Float64Array[] = [];
	let [length, width] = [0, 0];
	for (const name of classes ?? [null]) {
		const one = name === null ? distribution : distribution.ofClass(name);
		const features = one instanceof FittedDistribution ? one.features : await one.fit(needed(encoder));
		means.push(Float64Array.from(features.mean));
		stds.push(Float64Array.from(features.std));
		[length, width] = [features.length, features.width];
	}
	const shape = [means.length, length, width];
	await writeNpz(path, {
		means: { shape, data: joined(means) },
		stds: { shape, data: joined(stds) },
		prompt_texts: { texts: await promptTexts(distribution, encoder) },
		...(classes && { class_names: { texts: classes } }),
	});
}

function needed(encoder: PromptEncoder | null): PromptEncoder {
	if (encoder) return encoder;
	throw new ArgumentError(
		"the prompts of this distribution have to be encoded for that, which needs a model (--model)",
	);
}

function joined(parts: readonly Float64Array[]): Float64Array {
	const all = new Float64Array(parts.reduce((sum, part) => sum + part.length, 0));
	let at = 0;
	for (const part of parts) {
		all.set(part, at);
		at += part.length;
	}
	return all;
}

/** What each class's mean prompt reads like: the vocabulary's nearest word to each vector, with the words around. */
async function promptTexts(
	distribution: PromptDistribution | FittedDistribution,
	encoder: PromptEncoder | null,
): Promise<string[]> {
	const classes = distribution.classes ?? [null];
	if (distribution instanceof FittedDistribution) return classes.map((name) => name ?? "");
	const { prefix, suffix, classPosition } = distribution.words;
	const { vectors, width } = distribution;
	const all = new Float32Array(classes.length * vectors * width);
	classes.forEach((name, i) => {
		all.set((name === null ? distribution : distribution.ofClass(name)).meanTokens, i * vectors * width);
	});
	const near = await nearestWords(needed(encoder), all);
	const before = classPosition === "front" ? 0 : classPosition === "middle" ? Math.floor(vectors / 2) : vectors;
	return classes.map((name, i) => {
		const words = near.slice(i * vectors, (i + 1) * vectors).map(({ word }) => word);
		const named = name === null ? [] : [name.replace(/_/g, " ")];
		const parts = [prefix, ...words.slice(0, before), ...named, ...words.slice(before), suffix];
		return parts.filter((part) => part !== "").join(" ");
	});
}

/** How an embedding is stored: diffusers' `learned_embeds.safetensors`, kohya's key in safetensors, or A1111's `.pt`. */
export const EMBEDDING_LAYOUTS = ["diffusers", "kohya", "a1111"] as const;
export type EmbeddingLayout = (typeof EMBEDDING_LAYOUTS)[number];

export interface EmbeddingOptions {
	readonly layout: EmbeddingLayout;
	/** What prompts call it. */
	readonly token: string;
	/** Steps it was learned for, for the record. */
	readonly step?: number;
}

/**
 * Writes vectors [M, d] as an embedding of Textual Inversion.
 *
 * @throws ArgumentError for a token that no prompt could hold
 */
export async function writeEmbedding(
	path: string,
	vectors: Float32Array,
	width: number,
	{ layout, token, step = 0 }: EmbeddingOptions,
): Promise<void> {
	const shape = [vectors.length / width, width];
	if (!Number.isInteger(shape[0]))
		throw new ArgumentError(`${vectors.length} numbers are no vectors of width ${width}`);
	if (token.trim() === "" || /\s/.test(token)) throw new ArgumentError(`a token must be one word, not "${token}"`);
	if (layout === "a1111") {
		await writeTorch(path, {
			string_to_token: { "*": 265 },
			string_to_param: { "*": new TensorToSave(shape, vectors) },
			name: token,
			step,
			sd_checkpoint: null,
			sd_checkpoint_name: null,
		});
		return;
	}
	const name = layout === "diffusers" ? token : "emb_params";
	await writeSafetensors(
		path,
		{ [name]: { dtype: "F32", shape, data: vectors } },
		layout === "kohya" ? { metadata: { name: token, step: String(step) } } : {},
	);
}
