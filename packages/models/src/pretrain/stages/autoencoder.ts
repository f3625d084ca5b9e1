// The autoencoder: pictures to latents and back.
import {
	add,
	exp,
	f32ToImages,
	type Graph,
	type InputData,
	l1,
	mean,
	mse,
	mul,
	philoxNormal,
	reshape,
	square,
	sub,
	type Value,
	type Weights,
} from "@dreamdist/core";
import { PICTURE_SIDE } from "@dreamdist/world";
import { autoencoderFactor, decodeLatents, encodePictures, type LatentMoments } from "../../networks/autoencoder.js";
import { type AutoencoderConfig, readAutoencoderConfig } from "../../networks/autoencoder-config.js";
import { autoencoderWeights } from "../../networks/declare.js";
import { pictureAt, writeGrid } from "../grid.js";
import { EVALUATION_BATCH, heldOutBatches, LazyProgram } from "../held-out.js";
import { writeComponent } from "../model-folder.js";
import { randomKeys } from "../randomness.js";
import { type SceneBatch, toNetworkRange } from "../scenes.js";
import type { Evaluation, Stage, StageContext, TrainedModel } from "../stage.js";
import type { WrittenLoss } from "../trained-weights.js";

/** Pictures in a row of the sample grid. */
const COLUMNS = 12;

/** Latents drawn from their normal distribution. */
export function drawLatents(graph: Graph, { mean, logVariance }: LatentMoments): Value {
	const [batch, ...rest] = mean.shape as [number, ...number[]];
	const keys = graph.input("latentKeys", [batch, 4], "i32");
	const normal = philoxNormal(
		keys,
		rest.reduce((a, b) => a * b),
	);
	return add(mean, mul(exp(mul(logVariance, 0.5)), reshape(normal, mean.shape)));
}

/** Divergence from N(0, 1), the mean over the latent numbers. */
function divergence({ mean: center, logVariance }: LatentMoments): Value {
	const terms = sub(sub(add(square(center), exp(logVariance)), 1), logVariance);
	return mul(mean(terms), 0.5);
}

export class AutoencoderStage implements Stage {
	readonly name = "vae";
	readonly settings;
	readonly shapes;
	private readonly json: Record<string, unknown>;
	private readonly config: AutoencoderConfig;
	private measure: LazyProgram<"squares" | "pictures"> | null = null;

	constructor(private readonly context: StageContext) {
		const { recipe } = context;
		this.settings = recipe.stages.vae;
		this.json = { ...recipe.networks.vae, sample_size: PICTURE_SIDE };
		this.config = readAutoencoderConfig(this.json, "the recipe's vae");
		this.shapes = autoencoderWeights(this.config);
	}

	writeLoss(graph: Graph, weights: Weights, batch: number): WrittenLoss {
		const { l1: l1Weight, l2: l2Weight, kl: klWeight } = this.settings;
		const pictures = graph.input("pictures", [batch, PICTURE_SIDE, PICTURE_SIDE, 3]);
		const moments = encodePictures(weights, this.config, pictures);
		const decoded = decodeLatents(weights, this.config, drawLatents(graph, moments));
		const absolute = l1(decoded, pictures);
		const squared = mse(decoded, pictures);
		const kl = divergence(moments);
		const loss = add(add(mul(absolute, l1Weight), mul(squared, l2Weight)), mul(kl, klWeight));
		return { loss, metrics: { l1: absolute, l2: squared, kl } };
	}

	inputs(step: number, { pictures }: SceneBatch): Record<string, InputData> {
		const { batch } = this.settings;
		const latentKeys = randomKeys(this.context.recipe.seed, "latents", step, batch);
		return { pictures: toNetworkRange(pictures), latentKeys };
	}

	private program(model: TrainedModel) {
		this.measure ??= new LazyProgram(this.context.device, "autoencoder", (graph) => {
			const weights = model.open(graph);
			const pictures = graph.input("pictures", [EVALUATION_BATCH, PICTURE_SIDE, PICTURE_SIDE, 3]);
			const moments = encodePictures(weights, this.config, pictures);
			const squares = add(square(moments.mean), exp(moments.logVariance));
			return { squares, pictures: decodeLatents(weights, this.config, moments.mean) };
		});
		return this.measure;
	}

	/** Peak signal-to-noise ratio of held-out pictures, the mean over them, and the deviation of latents. */
	async evaluate(model: TrainedModel): Promise<Evaluation> {
		const program = this.program(model);
		const { data, evaluationPictures } = this.settings;
		const size = PICTURE_SIDE * PICTURE_SIDE * 3;
		let [psnr, squares, numbers] = [0, 0, 0];
		let first: { originals: Uint8Array; decoded: Float32Array } | null = null;
		for await (const { scenes, used } of heldOutBatches(data, evaluationPictures)) {
			const pictures = toNetworkRange(scenes.pictures);
			const result = await program.run({ pictures });
			for (let n = 0; n < used; n++) psnr += peakSignalToNoise(pictures, result.pictures, n * size, size);
			const latents = result.squares.subarray(0, (result.squares.length / EVALUATION_BATCH) * used);
			for (const value of latents) squares += value;
			numbers += latents.length;
			first ??= { originals: scenes.pictures, decoded: result.pictures };
		}
		const writeSamples = async (path: string) => {
			const { originals, decoded } = first!;
			const images = f32ToImages(decoded, [EVALUATION_BATCH, PICTURE_SIDE, PICTURE_SIDE, 3]);
			const row = Array.from({ length: COLUMNS }, (_, i) => pictureAt(originals, i));
			await writeGrid(path, [row, images.slice(0, COLUMNS)], { rowLabels: ["scene", "decoded"] });
		};
		return { figures: { psnr: psnr / evaluationPictures, latent_rms: Math.sqrt(squares / numbers) }, writeSamples };
	}

	/** Latents are scaled to a deviation of 1, as the UNet's noise has it. */
	async save(model: TrainedModel): Promise<void> {
		const { latent_rms: rms } = (await this.evaluate(model)).figures;
		const scale = Number((1 / Math.max(rms!, 1e-6)).toPrecision(6));
		const json = { ...this.json, scaling_factor: scale };
		await writeComponent(this.context.folder, "vae", json, this.shapes, (name) => model.read(name));
	}

	dispose(): void {
		this.measure?.dispose();
	}

	[Symbol.dispose](): void {
		this.dispose();
	}
}

/** Latent height and width of the world's pictures. */
export function latentSide(config: AutoencoderConfig): number {
	return PICTURE_SIDE / autoencoderFactor(config);
}

/** In dB, of numbers in [−1, 1]; what overshoots is clamped, as in pictures. */
function peakSignalToNoise(original: Float32Array, decoded: Float32Array, from: number, size: number): number {
	let squares = 0;
	for (let i = from; i < from + size; i++) {
		const value = Math.min(1, Math.max(-1, decoded[i]!));
		squares += (value - original[i]!) ** 2;
	}
	return 10 * Math.log10(4 / Math.max(squares / size, 1e-10));
}
