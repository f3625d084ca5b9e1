// Pictures to be measured: many prompts, each with noise of its own, compiled once.
import {
	defaultSize,
	type FrozenModel,
	fitSource,
	type ImageU8,
	PictureSampler,
	PromptEncoder,
	type SampledSource,
} from "@dreamdist/core";
import { PICTURE_BYTES } from "@dreamdist/world";

export interface PaintOptions {
	/** Default: the model's own. */
	readonly guidance?: number | undefined;
	readonly steps?: number | undefined;
	/** Pictures sampled at once. It changes none. Default 24. */
	readonly batch?: number | undefined;
	readonly signal?: AbortSignal | undefined;
}

export class Painter implements Disposable {
	private unconditional: Float32Array | null = null;

	private constructor(
		readonly encoder: PromptEncoder,
		private readonly sampler: PictureSampler,
		private readonly batch: number,
		private readonly signal: AbortSignal | undefined,
	) {}

	static async create(model: FrozenModel, options: PaintOptions): Promise<Painter> {
		const { steps, guidance, batch = 24, signal } = options;
		const encoder = new PromptEncoder(model.device, model.textEncoder, signal);
		try {
			const sampler = await PictureSampler.create(
				model,
				{
					size: defaultSize(model),
					batch,
					...(steps !== undefined && { steps }),
					...(guidance !== undefined && { guidance }),
				},
				signal,
			);
			return new Painter(encoder, sampler, batch, signal);
		} catch (error) {
			encoder.dispose();
			throw error;
		}
	}

	/** Picture `index` of the seed for each text, its bytes one after another. */
	async texts(texts: readonly string[], seed: number, firstIndex: number): Promise<Uint8Array> {
		const features: Float32Array[] = [];
		for (const text of texts) features.push(await this.encoder.encodeText(text));
		return this.paint(features, seed, firstIndex);
	}

	/** The first `count` pictures of a seed, each from a sampled prompt of its own. */
	async sampled(source: SampledSource, count: number, seed: number): Promise<Uint8Array> {
		const prompts = await fitSource(source, this.encoder);
		const features: Float32Array[] = [];
		for (let i = 0; i < count; i++) features.push(await prompts.sample(seed, i));
		return this.paint(features, seed, 0);
	}

	private async paint(features: readonly Float32Array[], seed: number, firstIndex: number): Promise<Uint8Array> {
		const { sampler, batch, signal } = this;
		this.unconditional ??= await this.encoder.encodeText("");
		const pictures = new Uint8Array(features.length * PICTURE_BYTES);
		for (let from = 0; from < features.length; from += batch) {
			const requests = features.slice(from, from + batch).map((each, i) => {
				const index = firstIndex + from + i;
				return { features: each, noise: sampler.noise(seed, index), seed, index };
			});
			const latents = await sampler.latents(requests, this.unconditional, signal ? { signal } : {});
			for (const [i, each] of latents.entries()) {
				const image: ImageU8 = await sampler.image(each, signal);
				pictures.set(image.data, (from + i) * PICTURE_BYTES);
			}
		}
		return pictures;
	}

	dispose(): void {
		this.sampler.dispose();
		this.encoder.dispose();
	}

	[Symbol.dispose](): void {
		this.dispose();
	}
}
