// The UNet, on latents of the autoencoder and features of the text encoder that earlier stages made.
import { join } from "node:path";
import {
	type Autoencoder,
	add,
	createNoiseSchedule,
	type FrozenModel,
	type Graph,
	generateSweep,
	type ImageU8,
	type InputData,
	mean,
	mul,
	type NoiseSchedule,
	philoxNormal,
	readSchedulerConfig,
	reshape,
	type SchedulerConfig,
	type Shape,
	square,
	sub,
	type TextEncoder,
	type Value,
	type Weights,
} from "@dreamdist/core";
import { PICTURE_SIDE, plainCaption } from "@dreamdist/world";
import { AUTOENCODER, TEXT_ENCODER } from "../../loading/components.js";
import { DiffusersFolder } from "../../loading/diffusers-folder.js";
import type { LatentMoments } from "../../networks/autoencoder.js";
import { unetWeights } from "../../networks/declare.js";
import { unet, unetSizeMultiple } from "../../networks/unet.js";
import { readUNetConfig, type UNetConfig } from "../../networks/unet-config.js";
import { asAutoencoder, asTextEncoder } from "../../pipeline/networks.js";
import { writeGrid } from "../grid.js";
import { EVALUATION_BATCH, heldOutBatches, LazyProgram } from "../held-out.js";
import { LatentPool } from "../latent-pool.js";
import { type ComponentFolder, writeComponent, writeModelIndex } from "../model-folder.js";
import { randomKeys, uniform } from "../randomness.js";
import { type Recipe, STAGES } from "../recipe.js";
import { heldOut, type SceneBatch, sceneOf, toNetworkRange, trainingSeed } from "../scenes.js";
import type { Evaluation, Stage, StageContext, TrainedModel } from "../stage.js";
import type { WrittenLoss } from "../trained-weights.js";
import { weightsIdentity } from "../weights-identity.js";
import { drawLatents } from "./autoencoder.js";
import { encodeCaptions } from "./clip.js";

/** The sample grid: so many captions, in rows of this many. */
const SAMPLES = 24;
const COLUMNS = 6;

/** What a pool is made with. */
const ENCODERS: readonly ComponentFolder[] = ["text_encoder", "vae"];

/** Per-picture numbers of a step, as program inputs [B]. */
const MIX_INPUTS = ["timesteps", "signal", "noiseLevel", "weights"] as const;

interface EncodedScenes {
	readonly moments: LatentMoments;
	/** [B, L, width] */
	readonly features: Value;
}

type TimestepSettings = Recipe["stages"]["unet"]["timesteps"];
const UNIFORM: TimestepSettings = { center: 0.5, spread: 1 };

/**
 * The share of the schedule below which a share of the drawn timesteps is: the logistic distribution's quantile, made a share again.
 *
 * @param part in [0, 1)
 */
export function timestepAt(part: number, { center, spread }: TimestepSettings): number {
	if (center === 0.5 && spread === 1) return part;
	return 1 / (1 + ((1 - part) / part) ** spread * ((1 - center) / center));
}

/** Of one picture. */
function latentShape({ factor, latentChannels }: Autoencoder): Shape {
	return [PICTURE_SIDE / factor, PICTURE_SIDE / factor, latentChannels];
}

/** The scenes that a recipe asks to keep. */
async function openPool(
	context: StageContext,
	textEncoder: TextEncoder,
	autoencoder: Autoencoder,
): Promise<LatentPool | null> {
	const { recipe, folder, device, signal, drawingThreads = 0, onPool } = context;
	const { pool, data } = recipe.stages.unet;
	if (pool === null) return null;
	const first = trainingSeed(recipe.seed, STAGES.indexOf("unet"), 1, pool);
	return LatentPool.open({
		device,
		folder: join(folder, "training", "unet", "pool"),
		count: pool,
		request: (from, count) => ({ first: first + from, count, data }),
		identity: await weightsIdentity(folder, ENCODERS),
		textEncoder,
		autoencoder,
		latentShape: latentShape(autoencoder),
		pictureSide: PICTURE_SIDE,
		drawingThreads,
		signal,
		onProgress: onPool,
	});
}

export class DenoiserStage implements Stage {
	readonly name = "unet";
	readonly settings;
	readonly shapes;
	private measure: LazyProgram<"loss"> | null = null;

	private constructor(
		private readonly context: StageContext,
		private readonly files: DiffusersFolder,
		private readonly json: Record<string, unknown>,
		private readonly config: UNetConfig,
		private readonly textEncoder: TextEncoder,
		private readonly autoencoder: Autoencoder,
		private readonly scheduler: SchedulerConfig,
		private readonly schedule: NoiseSchedule,
		private readonly pool: LatentPool | null,
	) {
		this.settings = context.recipe.stages.unet;
		this.shapes = unetWeights(config);
	}

	/** @throws FileError where the autoencoder or the text encoder is not there yet */
	static async create(context: StageContext): Promise<DenoiserStage> {
		const { recipe, folder } = context;
		const files = await DiffusersFolder.open(folder);
		try {
			const text = await files.load(TEXT_ENCODER);
			const vae = await files.load(AUTOENCODER);
			const autoencoder = asAutoencoder(vae);
			const json: Record<string, unknown> = {
				...recipe.networks.unet,
				in_channels: vae.config.latentChannels,
				out_channels: vae.config.latentChannels,
				cross_attention_dim: text.config.hiddenSize,
				sample_size: PICTURE_SIDE / autoencoder.factor,
			};
			const source = "the recipe's scheduler";
			const scheduler = readSchedulerConfig(recipe.networks.scheduler, { source, latents: true });
			const textEncoder = asTextEncoder(text, await files.tokenizer());
			return new DenoiserStage(
				context,
				files,
				json,
				readUNetConfig(json, "the recipe's unet"),
				textEncoder,
				autoencoder,
				scheduler,
				createNoiseSchedule(scheduler),
				await openPool(context, textEncoder, autoencoder),
			);
		} catch (error) {
			files.dispose();
			throw error;
		}
	}

	/** The prediction begins at zero. */
	constant = (name: string): number | null => (name === "conv_out.weight" ? 0 : null);

	writeLoss(graph: Graph, weights: Weights, batch: number): WrittenLoss {
		const data = this.pool ? this.kept(graph, batch) : this.encoded(graph, batch);
		return { loss: mean(this.errors(graph, weights, data)), metrics: {} };
	}

	/** Scenes from their pictures and captions. */
	private encoded(graph: Graph, batch: number): EncodedScenes {
		const pictures = graph.input("pictures", [batch, PICTURE_SIDE, PICTURE_SIDE, 3]);
		const ids = graph.input("ids", [batch, this.textEncoder.length], "i32");
		return {
			moments: this.autoencoder.encode(pictures),
			features: this.textEncoder.encode(this.textEncoder.embed(ids)),
		};
	}

	/** Scenes as the pool has them. */
	private kept(graph: Graph, batch: number): EncodedScenes {
		const shape = [batch, ...latentShape(this.autoencoder)];
		const { length, width } = this.textEncoder;
		return {
			moments: { mean: graph.input("means", shape), logVariance: graph.input("logVariances", shape) },
			features: graph.input("features", [batch, length, width]),
		};
	}

	/** Weighted squared error of each picture, [B]. */
	private errors(graph: Graph, weights: Weights, { moments, features }: EncodedScenes): Value {
		const batch = features.shape[0]!;
		const [timesteps, signal, noiseLevel, lossWeights] = MIX_INPUTS.map((name) => graph.input(name, [batch])) as [
			Value,
			Value,
			Value,
			Value,
		];
		const latents = mul(drawLatents(graph, moments), this.autoencoder.scale);
		const size = latents.size / batch;
		const noise = reshape(philoxNormal(graph.input("noiseKeys", [batch, 4], "i32"), size), latents.shape);
		const perPicture = (value: Value) => reshape(value, [batch, 1, 1, 1]);
		const [a, s] = [perPicture(signal), perPicture(noiseLevel)];
		const noisy = add(mul(latents, a), mul(noise, s));
		const prediction = unet(weights, this.config, { latents: noisy, timesteps, context: features });
		const { predictionType } = this.schedule;
		const target =
			predictionType === "v_prediction"
				? sub(mul(noise, a), mul(latents, s))
				: predictionType === "epsilon"
					? noise
					: latents;
		return mul(mean(square(sub(prediction, target)), [1, 2, 3]), lossWeights);
	}

	inputs(step: number, { pictures, captions }: SceneBatch): Record<string, InputData> {
		const said = captions.map((caption, i) => (this.says(step, i) ? caption : ""));
		return this.inputsOf(step, pictures, said, this.settings.timesteps);
	}

	inputsOfPool(step: number): Record<string, InputData> | null {
		if (!this.pool) return null;
		const { seed } = this.context.recipe;
		const places = Array.from({ length: this.settings.batch }, (_, i) => i);
		const { count } = this.pool;
		const chosen = places.map((i) => Math.floor(uniform(seed, "pool", step, i) * count));
		const rows = this.pool.rows(
			chosen,
			places.map((i) => this.says(step, i)),
		);
		return { ...rows, ...this.noising(step, places.length, this.settings.timesteps) };
	}

	/** Whether a picture of a step has its caption, not an empty one. */
	private says(step: number, place: number): boolean {
		return uniform(this.context.recipe.seed, "emptyCaptions", step, place) >= this.settings.emptyCaptions;
	}

	private inputsOf(
		step: number,
		pictures: Uint8Array,
		captions: readonly string[],
		timesteps: TimestepSettings,
	): Record<string, InputData> {
		return {
			pictures: toNetworkRange(pictures),
			ids: encodeCaptions(this.textEncoder.tokenizer, captions).ids,
			...this.noising(step, captions.length, timesteps),
		};
	}

	/** Random numbers and times of a step's pictures. */
	private noising(step: number, count: number, timesteps: TimestepSettings): Record<string, InputData> {
		const { seed } = this.context.recipe;
		const { trainTimesteps } = this.schedule;
		const mixes = { timesteps: [], signal: [], noiseLevel: [], weights: [] } as Record<
			(typeof MIX_INPUTS)[number],
			number[]
		>;
		for (let i = 0; i < count; i++) {
			// One timestep in each of `count` equal parts of the schedule: less variance than independent ones.
			const part = (i + uniform(seed, "timesteps", step, i)) / count;
			const t = Math.floor(timestepAt(part, timesteps) * trainTimesteps);
			const { sample, noise } = this.schedule.noisy(t);
			mixes.timesteps.push(t);
			mixes.signal.push(sample);
			mixes.noiseLevel.push(noise);
			const { snrGamma } = this.settings;
			mixes.weights.push(snrGamma === null ? 1 : this.schedule.lossWeight(t, snrGamma));
		}
		return {
			latentKeys: randomKeys(seed, "latents", step, count),
			noiseKeys: randomKeys(seed, "noise", step, count),
			...mixes,
		};
	}

	/** The loss on held-out scenes, always at the same timesteps and with the same noise, and pictures of held-out captions. */
	async evaluate(model: TrainedModel): Promise<Evaluation> {
		this.measure ??= new LazyProgram(this.context.device, "denoiser", (graph) => ({
			loss: this.errors(graph, model.open(graph), this.encoded(graph, EVALUATION_BATCH)),
		}));
		const { data, evaluationPictures } = this.settings;
		let total = 0;
		for await (const { scenes, first, used } of heldOutBatches(data, evaluationPictures)) {
			const { loss } = await this.measure.run(this.inputsOf(-1 - first, scenes.pictures, scenes.captions, UNIFORM));
			for (let i = 0; i < used; i++) total += loss[i]!;
		}
		return {
			figures: { held_out_loss: total / evaluationPictures },
			writeSamples: (path) => this.writeSamples(model, path),
		};
	}

	private async writeSamples(model: TrainedModel, path: string): Promise<void> {
		const request = heldOut(SAMPLES, this.settings.data);
		const captions = Array.from({ length: SAMPLES }, (_, i) => plainCaption(sceneOf(request, i)));
		const images: ImageU8[] = [];
		const { guidance, sampleSteps } = this.settings;
		const { signal } = this.context;
		const options = { count: 1, batch: SAMPLES, steps: sampleSteps, guidance, ...(signal && { signal }) };
		for await (const { image } of generateSweep(this.frozen(model), captions, options)) images.push(image);
		const rows = Array.from({ length: SAMPLES / COLUMNS }, (_, r) => images.slice(r * COLUMNS, (r + 1) * COLUMNS));
		await writeGrid(path, rows);
	}

	/** The model as it is now, for sampling. */
	private frozen(model: TrainedModel): FrozenModel {
		const { config } = this;
		return {
			device: this.context.device,
			textEncoder: this.textEncoder,
			autoencoder: this.autoencoder,
			denoiser: {
				latentChannels: config.inChannels,
				contextWidth: config.contextWidth,
				sizeMultiple: unetSizeMultiple(config),
				sampleSize: config.sampleSize,
				predict: (latents, timesteps, context, options) =>
					unet(model.open(latents.graph), config, { latents, timesteps, context }, options),
			},
			noiseSchedule: this.schedule,
			scheduler: this.scheduler,
			identity: { id: this.context.recipe.name, hash: "" },
		};
	}

	async save(model: TrainedModel): Promise<void> {
		const { folder, recipe } = this.context;
		await writeComponent(folder, "unet", this.json, this.shapes, (name) => model.read(name));
		await writeModelIndex(folder, recipe);
	}

	dispose(): void {
		this.measure?.dispose();
		this.files.dispose();
	}

	[Symbol.dispose](): void {
		this.dispose();
	}
}
