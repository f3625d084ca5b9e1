// A step of every method against the same step written plainly: its loss, its gradient along random directions, and AdamW's update.
import { findPictures, imagesToF32, PictureSet, shuffledOrder, uniformAt } from "@dreamdist/core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { coveredPixels, Finetuner, type PriorSet, type SizedSettings } from "../../src/finetune/finetuner.js";
import type { TuningMethod } from "../../src/finetune/method.js";
import { makeMethod } from "../../src/finetune/methods.js";
import { type FinetuneMethod, type Pipeline, readMethodSettings } from "../../src/index.js";
import { modelOf, type PlainRow, plainLoss, SIZE, type TuningFixture, tuningFixture } from "./support.js";

let fixture: TuningFixture;
beforeAll(async () => {
	fixture = await tuningFixture();
});
afterAll(() => fixture.remove());

const SEED = 5;

interface Setup {
	readonly method: TuningMethod;
	readonly settings: SizedSettings;
	readonly finetuner: Finetuner;
	readonly set: PictureSet;
	readonly prior: PriorSet | null;
}

async function setUp(name: FinetuneMethod, given: object): Promise<Setup> {
	const { pipe } = fixture;
	const settings = readMethodSettings(name, {
		seed: SEED,
		size: [SIZE, SIZE],
		flip: false,
		accumulate: 1,
		maxGradientNorm: null,
		...given,
	}) as SizedSettings;
	const method = makeMethod(name, pipe, settings as never);
	const cut = { size: settings.size, crop: settings.crop, flip: settings.flip, filter: settings.filter };
	const set = await PictureSet.read(await findPictures([fixture.images]), { ...cut, zoom: method.zoom ?? false });
	let prior: PriorSet | null = null;
	if (method.classPrompt !== null) {
		const others = await PictureSet.read(await findPictures([fixture.prior]), cut);
		prior = { set: others, prompt: method.classPrompt, weight: (settings as { priorWeight?: number }).priorWeight! };
	}
	return { method, settings, set, prior, finetuner: await Finetuner.create(pipe, method, settings, set, prior) };
}

/** The autoencoder's moments by the pipeline's own call. */
async function momentsOf(
	pipe: Pipeline,
	set: PictureSet,
	picture: number,
	augmentation: number,
): Promise<Float32Array> {
	const pictures = imagesToF32([await set.image(picture, augmentation)]);
	const { mean, std } = await pipe.encodePictures({ data: pictures.data, shape: [1, SIZE, SIZE, 3] });
	const channels = mean.shape[3]!;
	const { scale } = pipe.autoencoder;
	const out = new Float32Array(mean.data.length * 2);
	for (let pixel = 0; pixel < mean.data.length / channels; pixel++)
		for (let c = 0; c < channels; c++) {
			out[pixel * 2 * channels + c] = mean.data[pixel * channels + c]! / scale;
			out[(pixel * 2 + 1) * channels + c] = 2 * Math.log(std.data[pixel * channels + c]! / scale);
		}
	return out;
}

async function rowsOf({ method, settings, set, prior }: Setup, step: number): Promise<PlainRow[]> {
	const { batch, minTimestep, maxTimestep } = settings;
	const timesteps = [minTimestep, maxTimestep ?? fixture.pipe.noiseSchedule.trainTimesteps] as const;
	const rows: PlainRow[] = [];
	const pick = (from: PictureSet, purpose: "order" | "priorOrder", place: number) =>
		shuffledOrder(SEED, Math.floor(place / from.pictures.length), from.pictures.length, purpose)[
			place % from.pictures.length
		]!;
	for (let slot = 0; slot < batch; slot++) {
		const picture = pick(set, "order", (step - 1) * batch + slot);
		const ways = set.pictures[picture]!.augmentations;
		const random = uniformAt(SEED, "augmentation", step, slot);
		const smaller = ways.filter(({ zoom = 1 }) => zoom <= 1).length;
		const index = !method.zoom
			? Math.floor(random * ways.length)
			: random < 0.66
				? Math.floor((random / 0.66) * smaller)
				: smaller + Math.floor(((random - 0.66) / 0.34) * (ways.length - smaller));
		const way = ways[index]!;
		rows.push({
			moments: await momentsOf(fixture.pipe, set, picture, index),
			prompt: method.instancePrompt(uniformAt(SEED, "template", step, slot), way.zoom ?? 1),
			place: slot,
			weight: 1 / batch,
			timesteps,
			...(method.zoom && { pixels: coveredPixels(way, settings.size, fixture.pipe.autoencoder.factor) }),
		});
	}
	for (let slot = 0; prior && slot < batch; slot++) {
		const picture = pick(prior.set, "priorOrder", (step - 1) * batch + slot);
		rows.push({
			moments: await momentsOf(fixture.pipe, prior.set, picture, 0),
			prompt: prior.prompt,
			place: batch + slot,
			weight: prior.weight / batch,
			timesteps,
		});
	}
	return rows;
}

type Parts = Map<string, { shape: readonly number[]; data: Float32Array }>;

async function partsOf({ finetuner, method }: Setup): Promise<Parts> {
	const parts: Parts = new Map();
	for (const { name, shape } of method.parts) parts.set(name, { shape, data: await finetuner.read(name) });
	return parts;
}

const cases: [FinetuneMethod, object][] = [
	["textual-inversion", { batch: 2, vectors: 2, initialWords: "a", placeholder: "<it>" }],
	["dreambooth", { batch: 1, trainTextEncoder: true, classPrompt: "a photo of", priorWeight: 0.5 }],
	[
		"dreambooth-lora",
		{ batch: 1, rank: 3, trainTextEncoder: true, classPrompt: "cat", minTimestep: 400, maxTimestep: 900 },
	],
	["custom-diffusion", { batch: 2, initialWords: "k", classPrompt: "cat", zoom: true }],
	["custom-diffusion", { batch: 1, initialWords: "k", zoom: false, projections: "all" }],
];

describe("a step is the one written plainly", () => {
	test.each(cases)("%s %o", { timeout: 60_000 }, async (name, given) => {
		const { pipe } = fixture;
		const setup = await setUp(name, given);
		const { method, settings, finetuner } = setup;
		try {
			const rows = await rowsOf(setup, 1);
			const before = await partsOf(setup);
			// Where the second factor of a product is zero, the first one's gradient is too: both are moved first.
			if (name === "dreambooth-lora") {
				let n = 0;
				for (const part of before.values()) part.data = part.data.map((x) => x + 0.02 * Math.sin(++n));
				const { tensors } = finetuner.snapshot();
				await finetuner.restore({
					step: 0,
					tensors: new Map(
						[...tensors].map(([key, each]) => [
							key,
							{ ...each, read: async () => before.get(key)?.data ?? each.read() },
						]),
					),
					close: async () => undefined,
				});
			}
			const lossAt = async (parts: Parts) => {
				const model = modelOf(pipe, method, parts);
				const loss = await plainLoss(pipe, model, rows, SEED, 1);
				model.dispose();
				return loss;
			};
			const expected = await lossAt(before);
			const step = await finetuner.next();
			expect(Math.abs(step.loss - expected) / expected).toBeLessThan(2e-5);

			const { tensors } = finetuner.snapshot();
			const gradients = new Map<string, Float32Array>();
			for (const key of before.keys()) {
				const moment = await tensors.get(`${key}.exp_avg`)!.read();
				gradients.set(
					key,
					moment.map((x) => x / (1 - settings.beta1)),
				);
			}
			let squared = 0;
			for (const gradient of gradients.values()) for (const x of gradient) squared += x * x;
			expect(Math.abs(Math.sqrt(squared) - step.gradientNorm) / step.gradientNorm).toBeLessThan(1e-3);

			// A direction that every part has its share in: the gradient, with the sign of every fifth number turned or so.
			const direction = new Map<string, Float32Array>();
			let along = 0;
			let length = 0;
			for (const [key, gradient] of gradients) {
				const d = gradient.map((x, i) => (Math.sin(12.9898 * (i + key.length)) > -0.8 ? x : -x));
				direction.set(key, d);
				d.forEach((x, i) => {
					along += x * gradient[i]!;
					length += x * x;
				});
			}
			const h = 5e-3 / Math.sqrt(length);
			const moved = (sign: number): Parts =>
				new Map(
					[...before].map(([key, { shape, data }]) => {
						const d = direction.get(key)!;
						return [key, { shape, data: data.map((x, i) => x + sign * h * d[i]!) }];
					}),
				);
			const difference = ((await lossAt(moved(1))) - (await lossAt(moved(-1)))) / (2 * h);
			expect(Math.abs(difference - along) / Math.abs(along)).toBeLessThan(1e-2);

			// AdamW's first step: both moments' corrections cancel, so that it moves by the gradient's sign.
			for (const [key, { data }] of before) {
				const after = await finetuner.read(key);
				const gradient = gradients.get(key)!;
				let worst = 0;
				after.forEach((x, i) => {
					const g = gradient[i]!;
					const plain =
						data[i]! * (1 - settings.learningRate * settings.weightDecay) -
						(settings.learningRate * g) / (Math.abs(g) + settings.eps);
					worst = Math.max(worst, Math.abs(x - plain));
				});
				expect(worst).toBeLessThan(2e-3 * settings.learningRate + 1e-7);
			}
		} finally {
			finetuner.dispose();
		}
	});
});

describe("accumulated runs", () => {
	test("make the step of one batch", { timeout: 60_000 }, async () => {
		const results: Float32Array[] = [];
		const norms: number[] = [];
		for (const given of [{ batch: 2 }, { batch: 1, accumulate: 2 }]) {
			const { finetuner } = await setUp("custom-diffusion", {
				initialWords: "k",
				classPrompt: "cat",
				maxGradientNorm: 0.01,
				...given,
			});
			for (let step = 0; step < 2; step++) norms.push((await finetuner.next()).gradientNorm);
			results.push(await finetuner.read("vectors"));
			finetuner.dispose();
		}
		for (const [i, other] of results.entries()) {
			expect(Math.max(...other.map((x, at) => Math.abs(x - results[0]![at]!)))).toBeLessThan(2e-6);
			expect(norms[2 * i]! / norms[0]!).toBeCloseTo(1, 4);
			expect(norms[2 * i + 1]! / norms[1]!).toBeCloseTo(1, 3);
		}
	});
});
