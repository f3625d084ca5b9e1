import { describe, expect, it } from "vitest";
import {
	createNoiseSchedule,
	type FrozenModel,
	openDevice,
	PromptDistribution,
	type PromptSource,
	readSchedulerConfig,
} from "../../src/index.js";
import { type GenerateOptions, generate } from "../../src/methods/generate.js";
import { TestRandom } from "../random.js";
import { interpretedDevice } from "./interpreted-device.js";
import { tinyAutoencoder, tinyDenoiser, tinyTextEncoder, WIDTH } from "./tiny-networks.js";

const betas = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: "scaled_linear", prediction_type: "v_prediction" };

function tinyModel(device = interpretedDevice({ rounded: true })): FrozenModel {
	const scheduler = readSchedulerConfig({ _class_name: "DDIMScheduler", ...betas }, { latents: true });
	return {
		device,
		textEncoder: tinyTextEncoder,
		denoiser: { ...tinyDenoiser, sampleSize: [3, 4] },
		autoencoder: tinyAutoencoder,
		noiseSchedule: createNoiseSchedule(scheduler),
		scheduler,
		identity: { id: "tiny", hash: "0123" },
	};
}

const shape = [1, 3, 2, WIDTH] as const;
const distribution = PromptDistribution.of({
	tokens: new TestRandom(2).normals(shape.reduce<number>((a, b) => a * b, 1)),
	shape,
	classes: null,
	words: { prefix: "", suffix: "", classPosition: "end" },
	baseModel: null,
	settings: {},
});

async function make(source: PromptSource | string, options: GenerateOptions = {}, model = tinyModel()) {
	const pictures = [];
	for await (const picture of generate(model, source, { steps: 4, seed: 3, ...options })) pictures.push(picture);
	return pictures;
}

const bytes = (pictures: Awaited<ReturnType<typeof make>>) => pictures.map(({ image }) => [...image.data]);

describe("generating", () => {
	it("makes pictures of the model's size, each with a prompt of its own", async () => {
		const pictures = await make(distribution, { count: 3 });
		expect(pictures.map(({ index, prompt }) => [index, prompt])).toEqual([
			[0, 0],
			[1, 1],
			[2, 2],
		]);
		expect(pictures.map(({ image }) => [image.width, image.height])).toEqual([
			[8, 6],
			[8, 6],
			[8, 6],
		]);
		expect(pictures[0]!.features).not.toEqual(pictures[1]!.features);
		expect(new Set(bytes(pictures).map(String)).size).toBe(3);
	});

	it("gives picture n of a seed whatever the batch and the count", async () => {
		const one = await make(distribution, { count: 3, batch: 1 });
		expect(bytes(await make(distribution, { count: 3, batch: 2 }))).toEqual(bytes(one));
		expect(bytes(await make(distribution, { count: 1 }))).toEqual(bytes(one).slice(0, 1));
		expect(bytes(await make(distribution, { count: 3, seed: 4 }))).not.toEqual(bytes(one));
	});

	it("shares prompts where asked, and has none to vary at scale 0", async () => {
		const shared = await make(distribution, { count: 4, perPrompt: 2 });
		expect(shared.map(({ prompt }) => prompt)).toEqual([0, 0, 1, 1]);
		expect(shared[0]!.features).toEqual(shared[1]!.features);
		expect(shared[0]!.image.data).not.toEqual(shared[1]!.image.data);
		const mean = await make(distribution.scale(0), { count: 2 });
		expect(mean[0]!.features).toEqual(mean[1]!.features);
		const fixed = await make(distribution, { count: 2, fixedOmega: true });
		expect(fixed[0]!.features).toEqual(fixed[1]!.features);
		expect(fixed[0]!.image.data).toEqual((await make(distribution))[0]!.image.data);
	});

	it("is guided as the model says, learned prompts by a guidance of their own", async () => {
		const recommending = (sampling: FrozenModel["sampling"]) => ({ ...tinyModel(), sampling: sampling! });
		const made = async (source: PromptSource | string, sampling: FrozenModel["sampling"]) =>
			bytes(await make(source, {}, recommending(sampling)));
		const both = { guidance: 2, learnedGuidance: 5 };
		expect(await made(distribution, both)).toEqual(bytes(await make(distribution, { guidance: 5 })));
		expect(await made("a photo of dog", both)).toEqual(bytes(await make("a photo of dog", { guidance: 2 })));
		expect(await made(distribution, { guidance: 2 })).toEqual(bytes(await make(distribution, { guidance: 2 })));
		expect(await made(distribution, both)).not.toEqual(await made(distribution, { guidance: 2 }));
	});

	it("takes a text, a mix, a negative prompt and samplers that add noise", async () => {
		const model = tinyModel();
		const dog = await make("a photo of dog", {}, model);
		expect(bytes(dog)).not.toEqual(bytes(await make("a photo of cat")));
		expect(bytes(dog)).not.toEqual(bytes(await make("a photo of dog", { negative: "cat" })));
		const unguided = await make("a photo of dog", { guidance: 1, negative: "cat" });
		expect(bytes(unguided)).toEqual(bytes(await make("a photo of dog", { guidance: 1 })));
		const mix = PromptDistribution.mix([
			{ source: distribution, weight: 0.5 },
			{ source: distribution.edit({ suffix: "at night" }), weight: 0.5 },
		]);
		expect(bytes(await make(mix))).not.toEqual(bytes(await make(distribution)));
		const scheduler = readSchedulerConfig(
			{ _class_name: "EulerAncestralDiscreteScheduler", ...betas },
			{ latents: true },
		);
		const noisy = { scheduler, count: 3 };
		expect(bytes(await make("a photo", { ...noisy, batch: 3 }))).toEqual(bytes(await make("a photo", noisy)));
	});

	it("reports progress, and stops when aborted", async () => {
		const controller = new AbortController();
		const seen: string[] = [];
		const onStep: GenerateOptions["onStep"] = ({ picture, step, steps }) => {
			seen.push(`${picture}:${step}/${steps}`);
			if (seen.length === 6) controller.abort(new Error("enough"));
		};
		await expect(make(distribution, { count: 2, signal: controller.signal, onStep })).rejects.toThrow("enough");
		expect(seen).toEqual(["0:1/4", "0:2/4", "0:3/4", "0:4/4", "1:1/4", "1:2/4"]);
	});

	it("refuses what it can't make", async () => {
		await expect(make(distribution, { count: 0 })).rejects.toThrow(/count must be a whole number from 1 on, not 0/);
		await expect(make(distribution, { seed: -1 })).rejects.toThrow(/seed must be a whole number from 0/);
		await expect(make(distribution, { size: [7, 6] })).rejects.toThrow(/size 7×6 .* nearest to 7 are 6 and 8/);
		await expect(make(distribution, { steps: 0 })).rejects.toThrow(/sampling steps/);
	});

	it("gives the interpreter's pictures on the CPU, and lets everything go", async () => {
		const device = await openDevice("cpu", { threads: 2 });
		try {
			const made = bytes(await make(distribution, { count: 2 }, tinyModel(device))).flat();
			const exact = bytes(await make(distribution, { count: 2 })).flat();
			expect(Math.max(...made.map((value, i) => Math.abs(value - exact[i]!)))).toBeLessThanOrEqual(1);
			await device.idle();
			expect(device.memory.state).toBe(0);
		} finally {
			device.dispose();
		}
	});
});
