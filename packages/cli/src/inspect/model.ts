// What a model is, from its files: nothing is computed with it.
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Component, ComponentKind, ModelFiles } from "@dreamdist/models";
import type { DType } from "../common-options.js";

export interface NetworkReport {
	readonly parameters: number;
	/** As stored, or in the --dtype asked for. */
	readonly bytes: number;
	/** Numbers by element type. */
	readonly dtypes: Readonly<Record<string, number>>;
}

export interface ModelReport {
	readonly kind: "model";
	readonly path: string;
	readonly layout: "diffusers folder" | "single file";
	readonly networks: Readonly<Record<string, NetworkReport>>;
	readonly parameters: number;
	/** Of all files. */
	readonly bytesOnDisk: number;
	readonly predictionType: string;
	readonly sampler: string;
	readonly trainTimesteps: number;
	/** Pixels it was trained at; null where its configuration does not say. */
	readonly size: readonly [width: number, height: number] | null;
	readonly textEncoder: { readonly width: number; readonly positions: number; readonly layers: number };
	readonly tokenizer: { readonly vocabulary: number; readonly length: number };
	/** Of the text encoder's weights: what distributions name as the model they were learned with. */
	readonly hash: string;
	readonly notes: readonly string[];
}

/** @throws FileError, FormatError or WeightsError naming the file, key or weights at fault */
export async function describeModel(path: string, dtype: DType | undefined): Promise<ModelReport> {
	const [core, models] = await Promise.all([import("@dreamdist/core"), import("@dreamdist/models")]);
	const files: ModelFiles = await models.openModel(path, { dtype });
	const device = await core.openDevice("cpu");
	try {
		const text = await files.load(models.TEXT_ENCODER);
		const unet = await files.load(models.UNET);
		const vae = await files.load(models.AUTOENCODER);
		const networks = Object.fromEntries(
			[[models.TEXT_ENCODER, text] as const, [models.UNET, unet] as const, [models.AUTOENCODER, vae] as const].map(
				([kind, component]) => [(kind as ComponentKind<unknown>).folder, describeNetwork(component)],
			),
		);
		const tokenizer = await files.tokenizer();
		const { json, source } = await files.scheduler();
		const scheduler = core.readSchedulerConfig(json, { source, latents: true });
		const { sampleSize } = unet.config;
		const factor = 2 ** (vae.config.blockChannels.length - 1);
		return {
			kind: "model",
			path,
			layout: (await stat(path)).isDirectory() ? "diffusers folder" : "single file",
			networks,
			parameters: Object.values(networks).reduce((sum, { parameters }) => sum + parameters, 0),
			bytesOnDisk: await bytesOf(path),
			predictionType: scheduler.predictionType,
			sampler: scheduler.sampler,
			trainTimesteps: scheduler.trainTimesteps,
			size: sampleSize ? [sampleSize[1] * factor, sampleSize[0] * factor] : null,
			textEncoder: {
				width: text.config.hiddenSize,
				positions: text.config.maxPositions,
				layers: text.config.layers,
			},
			tokenizer: { vocabulary: tokenizer.vocabularySize, length: tokenizer.length },
			hash: await core.fingerprintWeights(device, text.weights),
			notes: files.notes,
		};
	} finally {
		files.dispose();
		device.dispose();
	}
}

function describeNetwork({ weights }: Component<unknown>): NetworkReport {
	const dtypes: Record<string, number> = {};
	for (const { dtype, shape } of weights.tensors.values())
		dtypes[dtype] = (dtypes[dtype] ?? 0) + shape.reduce((a, b) => a * b, 1);
	return { parameters: weights.parameters, bytes: weights.bytes, dtypes };
}

async function bytesOf(path: string): Promise<number> {
	const status = await stat(path);
	if (!status.isDirectory()) return status.size;
	let total = 0;
	// Through the links of the Hub's cache.
	for (const entry of await readdir(path, { withFileTypes: true, recursive: true }))
		total += await stat(join(entry.parentPath, entry.name)).then(
			(one) => (one.isFile() ? one.size : 0),
			() => 0,
		);
	return total;
}

const count = (value: number) => value.toLocaleString("en-US");
const size = (bytes: number) =>
	bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(2)} GiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;

export function renderModel(report: ModelReport): string {
	const { networks, textEncoder, tokenizer } = report;
	const rows = Object.entries(networks).map(([name, { parameters, bytes, dtypes }]) => {
		const types = Object.keys(dtypes).join(", ");
		return `  ${name.padEnd(14)}${count(parameters).padStart(15)} parameters  ${size(bytes).padStart(10)}  ${types}`;
	});
	return [
		report.path,
		`model in ${report.layout === "single file" ? "a single file" : "a diffusers folder"}: ${count(report.parameters)} parameters, ${size(report.bytesOnDisk)} on disk`,
		...rows,
		`predicts ${report.predictionType}, ${report.trainTimesteps} timesteps, sampled by ${report.sampler}${report.size ? `, trained at ${report.size.join("×")}` : ""}`,
		`text encoder of ${textEncoder.layers} layers, width ${textEncoder.width}, ${textEncoder.positions} positions`,
		`tokenizer of ${count(tokenizer.vocabulary)} tokens, texts of ${tokenizer.length}`,
		`text encoder's hash ${report.hash}`,
		...report.notes,
	].join("\n");
}
