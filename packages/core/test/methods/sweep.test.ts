import { describe, expect, it } from "vitest";
import {
	createNoiseSchedule,
	type FrozenModel,
	generate,
	generateSweep,
	PromptDistribution,
	PromptEncoder,
	readSchedulerConfig,
	type SampledSource,
	sweepMix,
	sweepScale,
	sweptWeights,
} from "../../src/index.js";
import { TestRandom } from "../random.js";
import { interpretedDevice } from "./interpreted-device.js";
import { tinyAutoencoder, tinyDenoiser, tinyTextEncoder, WIDTH } from "./tiny-networks.js";

function tinyModel() {
	const device = interpretedDevice({ rounded: true });
	const scheduler = readSchedulerConfig(
		{ _class_name: "DDIMScheduler", beta_start: 0.00085, beta_end: 0.012, beta_schedule: "scaled_linear" },
		{ latents: true },
	);
	const model: FrozenModel = {
		device,
		textEncoder: tinyTextEncoder,
		denoiser: { ...tinyDenoiser, sampleSize: [3, 4] },
		autoencoder: tinyAutoencoder,
		noiseSchedule: createNoiseSchedule(scheduler),
		scheduler,
		identity: { id: "tiny", hash: "0123" },
	};
	return { model, device };
}

function distribution(seed: number): PromptDistribution {
	const shape = [1, 3, 2, WIDTH] as const;
	return PromptDistribution.of({
		tokens: new TestRandom(seed).normals(3 * 2 * WIDTH),
		shape,
		classes: null,
		words: { prefix: "", suffix: "", classPosition: "end" },
		baseModel: null,
		settings: {},
	});
}

const OPTIONS = { steps: 3, seed: 4, count: 2 };

async function grid(model: FrozenModel, sources: readonly SampledSource[], options = {}): Promise<number[][][]> {
	const rows: number[][][] = [];
	for await (const { index, column, image } of generateSweep(model, sources, { ...OPTIONS, ...options })) {
		rows[index] ??= [];
		rows[index][column] = [...image.data];
	}
	return rows;
}

async function row(model: FrozenModel, source: SampledSource): Promise<number[][]> {
	const images: number[][] = [];
	for await (const { image } of generate(model, source, OPTIONS)) images.push([...image.data]);
	return images;
}

describe("a sweep", () => {
	it("of the scale is each scale alone, with one compilation for all", async () => {
		const { model, device } = tinyModel();
		const source = distribution(1);
		const values = [0, 0.5, 2];
		const before = device.compilations;
		const rows = await grid(model, sweepScale(source, values), { batch: 4 });
		const compiled = device.compilations - before;
		for (const [column, value] of values.entries())
			expect(rows.map((pictures) => pictures[column])).toEqual(await row(model, source.scale(value)));
		const one = device.compilations;
		await grid(model, sweepScale(source, [1]), { batch: 4 });
		expect(device.compilations - one).toBe(compiled);
	});

	it("of the mix goes from the first distribution to the second", async () => {
		const { model } = tinyModel();
		const [a, b] = [distribution(1), distribution(2)];
		const parts = [
			{ source: a, weight: 0.5 },
			{ source: b.scale(1.5), weight: 0.5 },
		];
		const rows = await grid(model, sweepMix(parts, [0, 0.25, 1]));
		expect(rows.map((pictures) => pictures[0])).toEqual(await row(model, a));
		expect(rows.map((pictures) => pictures[2])).toEqual(await row(model, b.scale(1.5)));
		const middle = PromptDistribution.mix([
			{ source: a, weight: 0.75 },
			{ source: b.scale(1.5), weight: 0.25 },
		]);
		expect(rows.map((pictures) => pictures[1])).toEqual(await row(model, middle));
	});

	it("of three keeps the proportions of the first two", () => {
		expect(sweptWeights([0.6, 0.2, 0.2], 0.2).map((weight) => weight.toFixed(6))).toEqual([
			"0.600000",
			"0.200000",
			"0.200000",
		]);
		expect(sweptWeights([0.6, 0.2, 0.2], 0)).toEqual([0.75, 0.25, 0].map((weight) => expect.closeTo(weight, 12)));
		expect(sweptWeights([0, 1], 0.25)).toEqual([0.75, 0.25]);
		expect(() => sweptWeights([1], 0.5)).toThrow(/two distributions or more/);
		expect(() => sweptWeights([0, 0, 1], 0.5)).toThrow(/a weight above 0 beside the last/);
		expect(() => sweptWeights([0.5, 0.5], 1.5)).toThrow(/from 0 to 1, not 1.5/);
		expect(() => sweptWeights([0.5, 0.6], 0.5)).toThrow(/sum to 1.1/);
	});
});

describe("the token space", () => {
	it("draws around the mean of the prompts' vectors, and encodes each draw", async () => {
		const { model } = tinyModel();
		const encoder = new PromptEncoder(model.device, model.textEncoder);
		const source = distribution(1);
		const sampler = await source.inTokenSpace().fit(encoder);
		const one = await sampler.sample(3, 1);
		expect(await sampler.sample(3, 1)).toEqual(one);
		expect(await sampler.sample(3, 2)).not.toEqual(one);
		// Without spread it is the mean vectors' own prompt, which is not the mean of the prompts' features.
		const center = await sampler.scale(0).sample(3, 1);
		const { data, shape } = { data: source.meanTokens, shape: [1, 1, 2, WIDTH] as const };
		const alone = PromptDistribution.of({
			tokens: data,
			shape,
			classes: null,
			words: source.words,
			baseModel: null,
			settings: {},
		});
		const { mean } = await alone.fit(encoder);
		expect(Math.max(...center.map((value, i) => Math.abs(value - mean[i]!)))).toBeLessThan(1e-6);
		expect(center).not.toEqual((await source.fit(encoder)).mean);
		// Start and positions before the vectors never vary.
		expect(one.subarray(0, WIDTH)).toEqual(center.subarray(0, WIDTH));
		await expect(async () => sampler.scale(-1)).rejects.toThrow(/from 0 on, not -1/);
	});

	it("goes with a sweep of the scale", async () => {
		const { model } = tinyModel();
		const source = distribution(1);
		const rows = await grid(model, sweepScale(source.inTokenSpace(), [0, 1]));
		expect(rows.map((pictures) => pictures[1])).toEqual(await row(model, source.inTokenSpace()));
		expect(rows[0]![0]).not.toEqual(rows[0]![1]);
	});
});
