// A tiny model in f32, a few pictures, and a run's loss written plainly: by other programs than the step's, from numbers of the host.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import {
	createImage,
	type FrozenModel,
	FrozenTensor,
	normals,
	openDevice,
	PromptEncoder,
	uniformAt,
	writePng,
} from "@dreamdist/core";
import { changedModel } from "../../src/finetune/model-change.js";
import { initModel, loadPipeline, type Pipeline } from "../../src/index.js";
import { temporaryFolder } from "../tiny-model.js";

export const SIZE = 64;

export interface TuningFixture {
	readonly folder: string;
	readonly model: string;
	readonly images: string;
	readonly prior: string;
	readonly pipe: Pipeline;
	remove(): void;
}

async function writePictures(folder: string, count: number, salt: number): Promise<void> {
	mkdirSync(folder);
	for (let n = 0; n < count; n++) {
		const image = createImage(SIZE, SIZE);
		for (let i = 0; i < image.data.length; i++) image.data[i] = (i * (n + salt) * 5 + (i >> 6) * 13) % 256;
		await writePng(join(folder, `${n}.png`), image);
	}
}

export async function tuningFixture(): Promise<TuningFixture> {
	const { folder, remove } = temporaryFolder();
	const device = await openDevice("cpu");
	const model = join(folder, "tiny");
	await initModel(model, { config: "tiny", seed: 3, dtype: "f32", device });
	device.dispose();
	await writePictures(join(folder, "images"), 3, 3);
	await writePictures(join(folder, "class"), 4, 11);
	const pipe = await loadPipeline(model, { device: "cpu" });
	return {
		folder,
		model,
		images: join(folder, "images"),
		prior: join(folder, "class"),
		pipe,
		remove() {
			pipe.dispose();
			remove();
		},
	};
}

/** One picture of a step, by hand. */
export interface PlainRow {
	/** Means and log variances of the autoencoder, [h, w, 2C]. */
	readonly moments: Float32Array;
	readonly prompt: string;
	/** Place in the step, which decides timestep and noise. */
	readonly place: number;
	readonly weight: number;
	/** Timesteps that are drawn; by default all of the model's. */
	readonly timesteps?: readonly [first: number, end: number];
	/** How pixels' errors add up; by default to the mean over pixels and channels. */
	readonly pixels?: Float32Array;
}

/** The loss of rows in step `step` of a seed, one picture after another. */
export async function plainLoss(
	pipe: Pipeline,
	model: FrozenModel,
	rows: readonly PlainRow[],
	seed: number,
	step: number,
): Promise<number> {
	const { device, noiseSchedule, autoencoder } = pipe;
	const encoder = new PromptEncoder(device, model.textEncoder);
	const { length, width } = model.textEncoder;
	const channels = pipe.denoiser.latentChannels;
	const side = SIZE / autoencoder.factor;
	const pixels = side * side;
	const program = await device.compile((graph) => ({
		out: model.denoiser.predict(
			graph.input("latents", [1, side, side, channels]),
			graph.input("timesteps", [1]),
			graph.input("context", [1, length, width]),
		),
	}));
	let loss = 0;
	for (const { moments, prompt, place, weight, timesteps, pixels: counted } of rows) {
		const [first, end] = timesteps ?? [0, noiseSchedule.trainTimesteps];
		const timestep = first + Math.floor(uniformAt(seed, "timestep", step, place) * (end - first));
		const [draw, noise] = (["latents", "noise"] as const).map((purpose) =>
			normals(seed, purpose, step, place, pixels * channels),
		);
		const clean = new Float32Array(pixels * channels);
		for (let pixel = 0; pixel < pixels; pixel++)
			for (let c = 0; c < channels; c++) {
				const at = pixel * channels + c;
				const [center, logVariance] = [moments[pixel * 2 * channels + c]!, moments[(pixel * 2 + 1) * channels + c]!];
				clean[at] = autoencoder.scale * (center + Math.exp(logVariance / 2) * draw![at]!);
			}
		const noisy = noiseSchedule.noisy(timestep);
		const target = noiseSchedule.target(timestep);
		const latents = clean.map((x, i) => noisy.sample * x + noisy.noise * noise![i]!);
		const context = await encoder.encodeText(prompt);
		const { out } = await program.run({ latents, timesteps: [timestep], context });
		let error = 0;
		for (let at = 0; at < out.length; at++) {
			const wanted = target.sample * clean[at]! + target.noise * noise![at]!;
			const share = counted ? counted[Math.floor(at / channels)]! : 1 / out.length;
			error += share * (out[at]! - wanted) ** 2;
		}
		loss += weight * error;
	}
	program.dispose();
	encoder.dispose();
	return loss;
}

/** The model with these numbers in the place of what a method trains. */
export function modelOf(
	pipe: Pipeline,
	method: { change<T>(parts: ReadonlyMap<string, T>): Parameters<typeof changedModel>[1] | unknown },
	parts: ReadonlyMap<string, { shape: readonly number[]; data: Float32Array }>,
) {
	const frozen = new Map(
		[...parts].map(([name, { shape, data }]) => [name, new FrozenTensor(name, shape, "f32", { data })]),
	);
	return changedModel(pipe, method.change(frozen) as Parameters<typeof changedModel>[1]);
}
