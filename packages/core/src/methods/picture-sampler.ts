// From text features to pictures: the sampling loop and the decoder on a device.
import type { Program, ProgramMemory } from "../compile/program.js";
import { f32ToImages } from "../data/image/convert.js";
import type { ImageU8 } from "../data/image/image.js";
import type { Tensor } from "../device/tensor.js";
import { planSampling } from "../diffusion/sampler.js";
import { coefficientTable, HISTORY_SLOTS, type SamplingPlan, STEP_COEFFICIENTS } from "../diffusion/sampling-plan.js";
import { samplingStep } from "../diffusion/sampling-step.js";
import type { SchedulerConfig } from "../diffusion/scheduler-config.js";
import { decodeTiled, largestTile } from "../diffusion/tiled-decode.js";
import { ArgumentError } from "../errors.js";
import { mul } from "../ops/elementwise.js";
import { philoxNormal } from "../ops/random.js";
import { reshape } from "../ops/shape.js";
import type { FrozenModel } from "./pipeline.js";
import { normals, randomKeys } from "./prompts/randomness.js";

export interface PictureSamplerOptions {
	/** Width and height in pixels. */
	readonly size: readonly [width: number, height: number];
	/** Pictures at once. Default 1. It changes no picture. */
	readonly batch?: number;
	/** Default: the model's own; 50 where it has none. */
	readonly steps?: number;
	/** Classifier-free guidance scale; 1 runs without. Default: the model's own; 7.5 where it has none. */
	readonly guidance?: number;
	/** 0 … 1. Default 0. */
	readonly guidanceRescale?: number;
	/** DDIM's η. */
	readonly eta?: number;
	/** Default: the model's own. */
	readonly scheduler?: SchedulerConfig;
	/** Told what the user should know, in sentences. */
	readonly onNote?: (message: string) => void;
}

/** One picture to make. */
export interface PictureRequest {
	/** Features of its prompt, [L, d]. */
	readonly features: Float32Array;
	/** Unit normal noise to start from, [h, w, C]. */
	readonly noise: Float32Array;
	/** Seed and number of the picture, for samplers that add noise. */
	readonly seed: number;
	readonly index: number;
}

interface CallOptions {
	readonly signal?: AbortSignal;
	/** Called after each step, counted from 1. */
	readonly onStep?: (step: number, steps: number) => void;
}

const LESS_MEMORY = ["smaller pictures (--size)", "fewer at once (--batch 1)", "16-bit weights (--dtype f16 or bf16)"];

/** Samples pictures of one size with one plan. The step is compiled once; everything that varies is its input. */
export class PictureSampler implements Disposable {
	private constructor(
		private readonly model: FrozenModel,
		/** [h, w, C] */
		readonly latentShape: readonly [number, number, number],
		private readonly batch: number,
		private readonly plan: SamplingPlan,
		private readonly guidance: { scale: number; rescale: number } | null,
		private readonly state: { latents: Tensor; history: Tensor[] },
		private readonly step: Program<"latents">,
	) {}

	/** Decoders by latent shape: the whole picture, or tiles of it. */
	private readonly decoders = new Map<string, Program<"picture">>();
	/** Side of the decoder's tiles, in latents. */
	private tile = 0;
	/** Kernel launches so far. */
	launches = 0;

	/** @throws ArgumentError for a size or step count that the model can't take */
	static async create(
		model: FrozenModel,
		options: PictureSamplerOptions,
		signal?: AbortSignal,
	): Promise<PictureSampler> {
		const { device, denoiser, autoencoder, textEncoder } = model;
		const { size, batch = 1, guidanceRescale: rescale = 0, eta } = options;
		const { steps, guidance: scale } = samplingOf(model, options);
		checkSize(model, size);
		if (!Number.isInteger(batch) || batch < 1)
			throw new ArgumentError(`the batch must be a whole number from 1 on, not ${batch}`);
		if (!Number.isFinite(scale)) throw new ArgumentError(`the guidance must be a number, not ${scale}`);
		if (!(rescale >= 0 && rescale <= 1))
			throw new ArgumentError(`the guidance rescale must be from 0 to 1, not ${rescale}`);
		const plan = planSampling(options.scheduler ?? model.scheduler, { steps, ...(eta !== undefined && { eta }) });
		const { factor } = autoencoder;
		const latentShape = [size[1] / factor, size[0] / factor, denoiser.latentChannels] as const;
		const shape = [batch, ...latentShape];
		const guided = scale !== 1;
		const state = {
			latents: await device.tensor(shape, { name: "latents" }),
			history: [] as Tensor[],
		};
		for (let slot = 0; slot < HISTORY_SLOTS; slot++)
			state.history.push(await device.tensor(shape, { name: `sampler history ${slot}` }));
		const compileOptions = { lessMemory: LESS_MEMORY, ...(signal && { signal }) };
		const rows = guided ? 2 * batch : batch;
		const step = await device.compile(
			(graph) => {
				const contexts = graph.input("contexts", [rows, textEncoder.length, textEncoder.width]);
				const noise = plan.addsNoise
					? reshape(
							philoxNormal(
								graph.input("noiseKeys", [batch, 4], "i32"),
								latentShape.reduce((a, b) => a * b),
							),
							shape,
						)
					: null;
				const predict = (input: Parameters<typeof denoiser.predict>[0], timesteps: typeof input) =>
					denoiser.predict(input, timesteps, contexts);
				return { latents: samplingStep(graph, state, { predict, guided, noise }) };
			},
			{ name: "sampling step", ...compileOptions },
		);
		const sampler = new PictureSampler(
			model,
			latentShape,
			batch,
			plan,
			guided ? { scale, rescale } : null,
			state,
			step,
		);
		try {
			await sampler.prepareDecoder(options.onNote, signal);
		} catch (error) {
			sampler.dispose();
			throw error;
		}
		return sampler;
	}

	/** Steps of the plan: calls of the denoiser. */
	get steps(): number {
		return this.plan.steps.length;
	}

	/** All memory that the device needs for sampling and decoding, with whatever else it holds. */
	get memory(): ProgramMemory {
		const { weights, state, arena, fixed } = this.model.device.memory;
		return { weights, state, arena, fixed, peak: weights + state + arena + fixed };
	}

	/** The noise that picture `index` of a seed starts from, [h, w, C]. */
	noise(seed: number, index: number): Float32Array {
		return normals(
			seed,
			"pictureNoise",
			0,
			index,
			this.latentShape.reduce((a, b) => a * b),
		);
	}

	/**
	 * Samples up to `batch` pictures.
	 *
	 * @param unconditional features of the negative prompt, [L, d]; read with guidance only
	 * @returns each one's latents [h, w, C], as the denoiser reads them
	 */
	async latents(
		requests: readonly PictureRequest[],
		unconditional: Float32Array,
		options: CallOptions = {},
	): Promise<Float32Array[]> {
		const { batch, guidance } = this;
		if (requests.length < 1 || requests.length > batch)
			throw new ArgumentError(`${requests.length} pictures do not fit a batch of ${batch}`);
		// A last partial batch is filled up with copies of its first picture.
		const rows = Array.from({ length: batch }, (_, i) => requests[i] ?? requests[0]!);
		const contexts = concatenate(rows.flatMap(({ features }) => (guidance ? [unconditional, features] : [features])));
		await this.state.latents.write(concatenate(rows.map((row) => row.noise)).map((x) => x * this.plan.initNoiseSigma));
		for (const slot of this.state.history) await slot.write(new Float32Array(slot.size));
		const table = coefficientTable(this.plan);
		let latents: ArrayLike<number> = [];
		for (let step = 0; step < this.steps; step++) {
			options.signal?.throwIfAborted();
			const keys = this.plan.addsNoise && {
				noiseKeys: concatenateKeys(rows.map(({ seed, index }) => randomKeys(seed, "samplerNoise", step, index, 1))),
			};
			const coefficients = table.subarray(step * STEP_COEFFICIENTS.count, (step + 1) * STEP_COEFFICIENTS.count);
			const result = await this.step.run(
				{
					contexts,
					coefficients,
					...(guidance && { guidanceScale: guidance.scale, guidanceRescale: guidance.rescale }),
					...keys,
				},
				options.signal ? { signal: options.signal } : {},
			);
			this.launches += this.step.kernelCalls;
			latents = result.latents;
			options.onStep?.(step + 1, this.steps);
		}
		const size = this.latentShape.reduce((a, b) => a * b);
		const all = Float32Array.from(latents);
		return requests.map((_, i) => all.slice(i * size, (i + 1) * size));
	}

	/** Compiles the decoder, of the whole picture or of tiles, before hours go into latents that could not be decoded. */
	private async prepareDecoder(onNote?: (message: string) => void, signal?: AbortSignal): Promise<void> {
		const [h, w] = this.latentShape;
		this.tile = await largestTile((shape) => this.decoder(shape, signal), this.latentShape);
		if (this.tile < Math.max(h, w))
			onNote?.(
				`A whole picture does not fit into memory; it is decoded in tiles of ${this.tile * this.model.autoencoder.factor} pixels.`,
			);
	}

	/** The decoder's output for latents [h, w, C]: [H, W, 3], in [−1, 1] but for overshoot. In tiles where the whole does not fit. */
	async decode(latents: Float32Array, signal?: AbortSignal): Promise<Float32Array> {
		const { factor } = this.model.autoencoder;
		const whole = async ({ data, shape }: { data: Float32Array; shape: readonly number[] }) => {
			const program = await this.decoder(shape, signal);
			this.launches += program.kernelCalls;
			const { picture } = await program.run({ latents: data }, signal ? { signal } : {});
			return Float32Array.from(picture);
		};
		return decodeTiled(whole, factor, { data: latents, shape: [1, ...this.latentShape] }, this.tile);
	}

	private async decoder(shape: readonly number[], signal?: AbortSignal): Promise<Program<"picture">> {
		const key = shape.join("×");
		let decoder = this.decoders.get(key);
		if (!decoder) {
			const { device, autoencoder } = this.model;
			decoder = await device.compile(
				(graph) => ({ picture: autoencoder.decode(mul(graph.input("latents", shape), 1 / autoencoder.scale)) }),
				{ name: "picture decoder", lessMemory: LESS_MEMORY, ...(signal && { signal }) },
			);
			this.decoders.set(key, decoder);
		}
		return decoder;
	}

	/** The picture of latents. @throws DreamdistError `NON_FINITE` rather than giving a black picture */
	async image(latents: Float32Array, signal?: AbortSignal): Promise<ImageU8> {
		const { factor } = this.model.autoencoder;
		const [h, w] = this.latentShape;
		return f32ToImages(await this.decode(latents, signal), [1, h * factor, w * factor, 3])[0]!;
	}

	dispose(): void {
		this.step.dispose();
		for (const decoder of this.decoders.values()) decoder.dispose();
		for (const tensor of [this.state.latents, ...this.state.history]) tensor.dispose();
	}

	[Symbol.dispose](): void {
		this.dispose();
	}
}

/**
 * What pictures are sampled with: what was asked for, else what the model says, else what is usual.
 *
 * @param prompts "learned" where they are drawn from what was learned
 */
export function samplingOf(
	{ sampling = {} }: Pick<FrozenModel, "sampling">,
	{ steps, guidance }: { readonly steps?: number | undefined; readonly guidance?: number | undefined },
	prompts: "words" | "learned" = "words",
): { steps: number; guidance: number } {
	const own = (prompts === "learned" ? sampling.learnedGuidance : undefined) ?? sampling.guidance;
	return { steps: steps ?? sampling.steps ?? 50, guidance: guidance ?? own ?? 7.5 };
}

/** @throws ArgumentError naming the two nearest sides */
export function checkSize(model: FrozenModel, size: readonly number[]): void {
	const unit = model.autoencoder.factor * model.denoiser.sizeMultiple;
	const bad = size.find((side) => !Number.isInteger(side) || side < 1 || side % unit !== 0);
	if (bad === undefined) return;
	const below = Math.max(unit, Math.floor(bad / unit) * unit);
	throw new ArgumentError(
		`the size ${size.join("×")} does not fit this model, whose sides are multiples of ${unit}; the nearest to ${bad} are ${below} and ${below + unit}`,
	);
}

function concatenate(parts: readonly Float32Array[]): Float32Array {
	const out = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
	let at = 0;
	for (const part of parts) {
		out.set(part, at);
		at += part.length;
	}
	return out;
}

function concatenateKeys(parts: readonly Int32Array[]): Int32Array {
	const out = new Int32Array(parts.length * 4);
	parts.forEach((part, i) => {
		out.set(part, i * 4);
	});
	return out;
}
