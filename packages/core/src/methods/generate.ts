// `generate`: pictures from a distribution of prompts, a mix of some, or a text.
import type { ProgramMemory } from "../compile/program.js";
import type { ImageU8 } from "../data/image/image.js";
import { ArgumentError } from "../errors.js";
import { type PictureRequest, PictureSampler, type PictureSamplerOptions, samplingOf } from "./picture-sampler.js";
import type { FrozenModel } from "./pipeline.js";
import type { SampledSource } from "./prompts/distribution.js";
import { FeatureDistribution, type PromptSampler } from "./prompts/feature-distribution.js";
import { PromptEncoder } from "./prompts/prompt-encoder.js";
import { checkSeed } from "./prompts/randomness.js";

export interface GenerateOptions extends Omit<PictureSamplerOptions, "size"> {
	/** Width and height in pixels. Default: what the model was trained at. */
	readonly size?: readonly [width: number, height: number];
	/** Pictures. Default 1. */
	readonly count?: number;
	/** Number of the first. Default 0. A picture's number decides its noise, so a seed's pictures can be made in several calls. */
	readonly firstIndex?: number;
	/** Pictures per sampled prompt. Default 1: each picture has its own. */
	readonly perPrompt?: number;
	/** All pictures have the same ω, so that only what is changed between calls changes. Default false. */
	readonly fixedOmega?: boolean;
	/** Default 0. A seed and a picture's number give the same noise and ω whatever the batch and the source. */
	readonly seed?: number;
	/** Text to steer away from. Default "". */
	readonly negative?: string;
	readonly signal?: AbortSignal;
	/**
	 * Free the text encoder's weights once the prompts are encoded; later calls pack them anew. Default false. Where prompts are drawn in
	 * token space the encoder stays, as every picture needs it.
	 */
	readonly releaseTextEncoder?: boolean;
	/** Told all memory that the device needs, sampling and decoding together, before the first step. */
	readonly onPlan?: (memory: ProgramMemory) => void;
	/** Called after each sampling step. */
	readonly onStep?: (progress: { picture: number; count: number; step: number; steps: number }) => void;
}

export interface GeneratedPicture {
	/** firstIndex … firstIndex + count − 1; decides its noise. */
	readonly index: number;
	/** Number of its sampled prompt. */
	readonly prompt: number;
	readonly image: ImageU8;
	/** Features of its prompt, [L, d]. */
	readonly features: Float32Array;
}

/** A picture of a sweep: `index` is its row. */
export interface SweptPicture extends GeneratedPicture {
	/** Which of the sources it was made from. */
	readonly column: number;
}

function checkCount(name: string, value: number): void {
	if (!Number.isInteger(value) || value < 1)
		throw new ArgumentError(`${name} must be a whole number from 1 on, not ${value}`);
}

/** The size a model was trained at. @throws ArgumentError where its configuration does not say */
export function defaultSize(model: FrozenModel): [number, number] {
	const { sampleSize } = model.denoiser;
	if (!sampleSize) throw new ArgumentError("this model does not say at what size it was trained; give one (--size)");
	return [sampleSize[1] * model.autoencoder.factor, sampleSize[0] * model.autoencoder.factor];
}

/** Whether prompts are words alone; together with learned ones they are sampled as those are. */
export function promptKind(sources: readonly (SampledSource | string)[]): "words" | "learned" {
	return sources.every((source) => typeof source === "string") ? "words" : "learned";
}

/** What prompts are drawn from; the Gaussian of a text is the text alone. */
export async function fitSource(source: SampledSource | string, encoder: PromptEncoder): Promise<PromptSampler> {
	if (typeof source !== "string") return source.fit(encoder);
	const { length, width } = encoder.textEncoder;
	const features = await encoder.encodeText(source);
	return new FeatureDistribution(features, new Float32Array(features.length), length, width);
}

/**
 * Generates pictures, each as soon as it is done.
 *
 * ```ts
 * const pipe = await loadPipeline("stabilityai/stable-diffusion-2-1");
 * const cathedrals = await PromptDistribution.load("run/distribution.safetensors");
 * for await (const { image, index } of generate(pipe, cathedrals.scale(1.2), { count: 8, seed: 7 }))
 *   await writePng(`cathedral-${index}.png`, image);
 * ```
 */
export async function* generate(
	model: FrozenModel,
	source: SampledSource | string,
	options: GenerateOptions = {},
): AsyncGenerator<GeneratedPicture, void, undefined> {
	for await (const { column: _, ...picture } of generateSweep(model, [source], options)) yield picture;
}

/**
 * Generates a grid: row i is picture i of the seed, with one noise and one ω, from each of the sources in turn. So along a row nothing
 * changes but the source. Everything is compiled once, whatever the number of sources.
 *
 * ```ts
 * for await (const { image, index, column } of generateSweep(pipe, sweepScale(cathedrals, [0, 1, 2]), { count: 4 }))
 *   await writePng(`row-${index}-column-${column}.png`, image);
 * ```
 *
 * @param options as for `generate`; `count` is the number of rows, and `onStep` counts the pictures of all of them
 */
export async function* generateSweep(
	model: FrozenModel,
	sources: readonly (SampledSource | string)[],
	options: GenerateOptions = {},
): AsyncGenerator<SweptPicture, void, undefined> {
	const {
		count = 1,
		firstIndex = 0,
		perPrompt = 1,
		fixedOmega = false,
		seed = 0,
		negative = "",
		batch = 1,
		signal,
		onStep,
	} = options;
	checkCount("count", count);
	checkCount("perPrompt", perPrompt);
	checkCount("firstIndex + 1", firstIndex + 1);
	checkSeed(seed);
	if (sources.length === 0) throw new ArgumentError("there is nothing to generate pictures from");
	const encoder = new PromptEncoder(model.device, model.textEncoder, signal);
	let sampler: PictureSampler | null = null;
	try {
		const fitted: PromptSampler[] = [];
		for (const source of sources) fitted.push(await fitSource(source, encoder));
		const unconditional = await encoder.encodeText(negative);
		if (options.releaseTextEncoder && fitted.every((prompts) => prompts instanceof FeatureDistribution)) {
			encoder.dispose();
			model.device.releaseUnusedWeights();
		}
		const { guidance } = samplingOf(model, options, promptKind(sources));
		sampler = await PictureSampler.create(
			model,
			{ ...options, guidance, size: options.size ?? defaultSize(model) },
			signal,
		);
		options.onPlan?.(sampler.memory);
		const total = count * sources.length;
		for (let from = 0; from < total; from += batch) {
			const requests: (PictureRequest & { prompt: number; column: number })[] = [];
			for (let place = from; place < Math.min(total, from + batch); place++) {
				const index = firstIndex + Math.floor(place / sources.length);
				const column = place % sources.length;
				const prompt = fixedOmega ? 0 : Math.floor(index / perPrompt);
				const features = await fitted[column]!.sample(seed, prompt);
				requests.push({ features, noise: sampler.noise(seed, index), seed, index, prompt, column });
			}
			const latents = await sampler.latents(requests, unconditional, {
				...(signal && { signal }),
				onStep: (step, steps) => onStep?.({ picture: from, count: total, step, steps }),
			});
			for (const [i, { index, prompt, column, features }] of requests.entries())
				yield { index, prompt, column, features, image: await sampler.image(latents[i]!, signal) };
		}
	} finally {
		sampler?.dispose();
		encoder.dispose();
	}
}
