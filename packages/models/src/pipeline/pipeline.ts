// A loaded model: its networks for other programs to be written with, and the four things everyone wants of it ready to call.
import {
	ArgumentError,
	type Autoencoder,
	createNoiseSchedule,
	type Denoiser,
	type Device,
	DreamdistError,
	div,
	type EncodedText,
	exp,
	type Graph,
	type InputData,
	mul,
	type NoiseSchedule,
	type Program,
	readSchedulerConfig,
	type SamplingDefaults,
	type SchedulerConfig,
	type SchedulerOverrides,
	type TextEncoder,
	type Value,
} from "@dreamdist/core";
import type { Component } from "../loading/components.js";
import type { ModelFiles } from "../loading/model-files.js";
import type { AutoencoderConfig } from "../networks/autoencoder-config.js";
import type { ClipTextConfig } from "../networks/clip-text-config.js";
import type { UNetConfig } from "../networks/unet-config.js";
import { ProgramCache } from "./program-cache.js";

/** Numbers with a shape, row-major. */
export interface Numbers {
	readonly data: Float32Array;
	readonly shape: readonly number[];
}

export interface CallOptions {
	signal?: AbortSignal | undefined;
}

/** The networks with their configurations and frozen weights, for methods that change some of them. */
export interface PipelineComponents {
	readonly text: Component<ClipTextConfig>;
	readonly unet: Component<UNetConfig>;
	readonly vae: Component<AutoencoderConfig>;
}

export interface PipelineParts {
	/** As the user named the model. */
	id: string;
	device: Device;
	/** Whether the device was opened for this pipeline and goes with it. */
	ownsDevice: boolean;
	files: ModelFiles;
	textEncoder: TextEncoder;
	denoiser: Denoiser;
	autoencoder: Autoencoder;
	/** The networks behind those, with all their weights. */
	components: PipelineComponents;
	scheduler: { json: unknown; source: string };
	sampling: SamplingDefaults;
	/** Of the text encoder's weights. */
	fingerprint: string;
}

/** Made by `loadPipeline`. Programs are compiled at the first call of each shape and kept. */
export class Pipeline implements Disposable {
	/** Which model it is: as the user named it, and a hash of the text encoder's weights. */
	readonly identity: { readonly id: string; readonly hash: string };
	readonly device: Device;
	readonly textEncoder: TextEncoder;
	readonly denoiser: Denoiser;
	readonly autoencoder: Autoencoder;
	/** The noise that the denoiser was trained with. */
	readonly noiseSchedule: NoiseSchedule;
	/** How pictures come out best, where the model's files say so. */
	readonly sampling: SamplingDefaults;
	readonly components: PipelineComponents;
	/** Where the model was loaded from. */
	readonly path: string;
	/** What had to be assumed about the model, in sentences for the user. */
	readonly notes: readonly string[];
	/** Kernel launches of all calls so far. */
	launches = 0;
	private readonly programs = new ProgramCache();

	constructor(private readonly parts: PipelineParts) {
		this.identity = { id: parts.id, hash: parts.fingerprint };
		this.device = parts.device;
		this.textEncoder = parts.textEncoder;
		this.denoiser = parts.denoiser;
		this.autoencoder = parts.autoencoder;
		this.sampling = parts.sampling;
		this.components = parts.components;
		this.path = parts.files.path;
		this.notes = parts.files.notes;
		// Every sampler shares the file's noise levels.
		this.noiseSchedule = createNoiseSchedule(this.schedulerWith({ sampler: "ddim" }));
	}

	/** The model's own sampler. @throws FormatError if its file names one that is not supported */
	get scheduler(): SchedulerConfig {
		return this.schedulerWith({});
	}

	/** Another sampler, or other settings, on the model's noise levels. @throws ArgumentError or FormatError naming what is not supported */
	schedulerWith(overrides: SchedulerOverrides): SchedulerConfig {
		const { json, source } = this.parts.scheduler;
		return readSchedulerConfig(json, { overrides, source, latents: true });
	}

	/** Pixels that width and height must be multiples of. */
	get sizeMultiple(): number {
		return this.autoencoder.factor * this.denoiser.sizeMultiple;
	}

	/** @throws ArgumentError naming the two nearest sizes, for one that the model can't make */
	checkSize(width: number, height: number): void {
		const multiple = this.sizeMultiple;
		for (const [name, side] of Object.entries({ width, height })) {
			if (Number.isInteger(side) && side > 0 && side % multiple === 0) continue;
			const below = Math.floor(side / multiple) * multiple;
			const nearest = below > 0 ? `${below} and ${below + multiple}` : `${multiple} and ${2 * multiple}`;
			throw new ArgumentError(
				`The ${name} ${side} is not a multiple of ${multiple}, as ${this.identity.id} needs; the nearest are ${nearest}.`,
			);
		}
	}

	/**
	 * Text features of prompts.
	 *
	 * @returns features [N, L, d], and the tokens of each text with what was cut off
	 */
	async encodeText(
		texts: readonly string[],
		options: CallOptions = {},
	): Promise<{ features: Numbers; texts: EncodedText[] }> {
		if (texts.length === 0) throw new ArgumentError("encodeText: there is no text to encode");
		const { tokenizer, length, width } = this.textEncoder;
		const encoded = texts.map((text) => tokenizer.encode(text));
		const ids = new Int32Array(texts.length * length);
		encoded.forEach((text, i) => {
			ids.set(text.ids, i * length);
		});
		const { features } = await this.run(
			`text encoder, ${texts.length} texts`,
			(graph) => ({
				features: this.textEncoder.encode(this.textEncoder.embed(graph.input("ids", [texts.length, length], "i32"))),
			}),
			{ ids },
			["encode fewer texts at once"],
			options,
		);
		return { features: { data: features, shape: [texts.length, length, width] }, texts: encoded };
	}

	/**
	 * The denoiser's prediction.
	 *
	 * @param latents [B, h, w, C]
	 * @param timesteps one per latents
	 * @param context text features [B·S, L, d]; rows b·S … b·S + S − 1 go with latents b
	 * @returns [B·S, h, w, C]
	 */
	async predictNoise(
		latents: Numbers,
		timesteps: ArrayLike<number>,
		context: Numbers,
		options: CallOptions = {},
	): Promise<Numbers> {
		const { shape } = latents;
		const { prediction } = await this.run(
			`denoiser, latents ${shape.join("×")}, text ${context.shape.join("×")}`,
			(graph) => ({
				prediction: this.denoiser.predict(
					graph.input("latents", shape),
					graph.input("timesteps", [shape[0] ?? 0]),
					graph.input("context", context.shape),
				),
			}),
			{ latents: latents.data, timesteps, context: context.data },
			["use a smaller batch", "make smaller pictures", "hold the weights in f16 (dtype)"],
			options,
		);
		return { data: prediction, shape: [context.shape[0]!, ...shape.slice(1)] };
	}

	/**
	 * The normal distribution of pictures' latents, scaled as the denoiser reads them.
	 *
	 * @param pictures [N, H, W, 3] in [−1, 1] (see `imagesToF32`)
	 * @returns mean and standard deviation, each [N, H/f, W/f, C]
	 */
	async encodePictures(pictures: Numbers, options: CallOptions = {}): Promise<{ mean: Numbers; std: Numbers }> {
		const { factor, latentChannels, scale } = this.autoencoder;
		const [n = 0, height = 0, width = 0] = pictures.shape;
		const { mean, std } = await this.run(
			`encoder, pictures ${pictures.shape.join("×")}`,
			(graph) => {
				const moments = this.autoencoder.encode(graph.input("pictures", pictures.shape));
				return { mean: mul(moments.mean, scale), std: mul(exp(mul(moments.logVariance, 0.5)), scale) };
			},
			{ pictures: pictures.data },
			["encode fewer or smaller pictures at once"],
			options,
		);
		const shape = [n, height / factor, width / factor, latentChannels];
		return { mean: { data: mean, shape }, std: { data: std, shape } };
	}

	/**
	 * Pictures of latents that are scaled as the denoiser reads them.
	 *
	 * @param latents [N, h, w, C]
	 * @returns [N, h·f, w·f, 3], in [−1, 1] but for overshoot (see `f32ToImages`)
	 */
	async decodeLatents(latents: Numbers, options: CallOptions = {}): Promise<Numbers> {
		const { factor, scale } = this.autoencoder;
		const [n = 0, height = 0, width = 0] = latents.shape;
		const { pictures } = await this.run(
			`decoder, latents ${latents.shape.join("×")}`,
			(graph) => ({ pictures: this.autoencoder.decode(div(graph.input("latents", latents.shape), scale)) }),
			{ latents: latents.data },
			["decode fewer pictures at once, or in tiles"],
			options,
		);
		return { data: pictures, shape: [n, height * factor, width * factor, 3] };
	}

	/** Compiles (once per name, which tells the shapes), runs, and refuses results that are not numbers. */
	private async run<K extends string>(
		name: string,
		build: (graph: Graph) => Record<K, Value>,
		inputs: Readonly<Record<string, InputData>>,
		lessMemory: readonly string[],
		{ signal }: CallOptions,
	): Promise<Record<K, Float32Array>> {
		signal?.throwIfAborted();
		const options = signal ? { signal } : {};
		const program = await this.programs.get(name, () => this.device.compile(build, { name, lessMemory, ...options }));
		signal?.throwIfAborted();
		if (process.env.DD_CHECK === "1") await checkAgainstReference(name, program, inputs);
		const results = await program.run(inputs, options);
		this.launches += program.kernelCalls;
		for (const [output, data] of Object.entries<ArrayLike<number>>(results)) requireFinite(name, output, data);
		return results as Record<K, Float32Array>;
	}

	/** Lets programs, weights and files go; and the device, if it was opened for this pipeline. */
	dispose(): void {
		this.programs.dispose();
		if (this.parts.ownsDevice) this.device.dispose();
		else for (const { weights } of Object.values(this.components)) weights.release(this.device);
		this.parts.files.dispose();
	}

	[Symbol.dispose](): void {
		this.dispose();
	}
}

/** Names the first op whose result is off; far slower than a run. */
async function checkAgainstReference(
	name: string,
	program: Program,
	inputs: Readonly<Record<string, InputData>>,
): Promise<void> {
	const { first } = await program.check(inputs);
	if (first) throw new DreamdistError("CHECK_FAILED", `${name}: ${first.op} (${first.value}): ${first.reason}`);
}

function requireFinite(name: string, output: string, data: ArrayLike<number>): void {
	let bad = 0;
	for (let i = 0; i < data.length; i++) if (!Number.isFinite(data[i])) bad++;
	if (bad === 0) return;
	throw new DreamdistError(
		"NON_FINITE",
		`${name}: ${bad} of ${data.length} values of its ${output} are infinite or not a number; check the inputs, and the model with \`verify\``,
	);
}
