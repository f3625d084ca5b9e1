// Full training of every stage, in small: it lowers the loss, can be stopped anywhere, and fills a folder that loads.
import { cpSync, existsSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Device, generate, openDevice, openSafetensors } from "@dreamdist/core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
	loadPipeline,
	type PretrainOptions,
	type PretrainStep,
	pretrain,
	pretrainLearningRate,
	STAGES,
	type StageName,
} from "../../src/index.js";
import { drawScenes, toNetworkRange, trainingSeed } from "../../src/pretrain/scenes.js";
import { timestepAt } from "../../src/pretrain/stages/denoiser.js";
import { temporaryFolder } from "../tiny-model.js";
import { tinyRecipe } from "./tiny-recipe.js";

const { folder, remove } = temporaryFolder();
const recipe = tinyRecipe();
const whole = join(folder, "whole");
const parts = join(folder, "parts");
const steps = new Map<StageName, PretrainStep[]>();
let device: Device;

async function run(stage: StageName, out: string, options: Partial<PretrainOptions> = {}): Promise<PretrainStep[]> {
	const taken: PretrainStep[] = [];
	for await (const step of pretrain({ recipe, stage, out, device, ...options })) taken.push(step);
	return taken;
}

async function checkpoint(out: string, stage: StageName, step: number): Promise<Map<string, Float32Array>> {
	const path = join(out, "training", stage, "checkpoints", `step-${String(step).padStart(6, "0")}.safetensors`);
	const file = await openSafetensors(path);
	const tensors = new Map<string, Float32Array>();
	for (const name of file.tensors.keys()) tensors.set(name, await file.readF32(name));
	await file.close();
	return tensors;
}

function relativeDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
	let [difference, size] = [0, 0];
	for (let i = 0; i < b.length; i++) {
		difference += (a[i]! - b[i]!) ** 2;
		size += b[i]! ** 2;
	}
	return Math.sqrt(difference / size);
}

const lines = (out: string, stage: StageName, name: string) =>
	readFileSync(join(out, "training", stage, name), "utf8")
		.trim()
		.split("\n")
		.map((line) => JSON.parse(line));

beforeAll(async () => {
	device = await openDevice("cpu");
	for (const stage of STAGES) steps.set(stage, await run(stage, whole));
}, 60_000);
afterAll(() => {
	device.dispose();
	remove();
});

describe.each(STAGES)("stage %s", (stage) => {
	test("lowers the loss", () => {
		const losses = steps.get(stage)!.map(({ loss }) => loss);
		expect(losses).toHaveLength(8);
		const late = (losses[5]! + losses[6]! + losses[7]!) / 3;
		expect(late).toBeLessThan(0.97 * losses[0]!);
	});

	test("resumed three times, equals the run that never stopped, bit for bit", async () => {
		for (const until of [2, 3, 6]) expect(await run(stage, parts, { resume: true, until })).not.toHaveLength(0);
		const controller = new AbortController();
		// Stopped once more by a signal: the step in progress is finished or left out, never half done.
		await expect(async () => {
			for await (const _ of pretrain({ recipe, stage, out: parts, device, resume: true, signal: controller.signal }))
				controller.abort();
		}).rejects.toThrow();
		await run(stage, parts, { resume: true });
		const [a, b] = [await checkpoint(whole, stage, 8), await checkpoint(parts, stage, 8)];
		expect([...b.keys()].sort()).toEqual([...a.keys()].sort());
		for (const [name, data] of a)
			expect(Buffer.compare(Buffer.from(data.buffer), Buffer.from(b.get(name)!.buffer)), name).toBe(0);
		expect(lines(parts, stage, "metrics.jsonl").map(({ step }) => step)).toContain(8);
		expect(lines(parts, stage, "evaluations.jsonl").at(-1)).toEqual(lines(whole, stage, "evaluations.jsonl").at(-1));
	});

	test("writes metrics, figures of held-out scenes and the two last checkpoints", () => {
		const metrics = lines(whole, stage, "metrics.jsonl");
		expect(metrics.map(({ step }) => step)).toEqual([2, 4, 6, 8]);
		const losses = steps.get(stage)!.map(({ loss }) => loss);
		expect(metrics[0].loss).toBeCloseTo((losses[0]! + losses[1]!) / 2, 6);
		for (const line of metrics) expect(line.gradientNorm).toBeGreaterThan(0);
		const time = lines(parts, stage, "time.jsonl");
		// Two, three and six steps, one more before the signal or none, and the rest: every step is in one line.
		expect(time.slice(0, 3).map(({ from, step }) => [from, step])).toEqual([
			[0, 2],
			[2, 3],
			[3, 6],
		]);
		expect(time.reduce((sum, { from, step }) => sum + step - from, 0)).toBe(8);
		const [evaluation] = lines(whole, stage, "evaluations.jsonl");
		expect(evaluation).toEqual({ step: 8, ...steps.get(stage)!.at(-1)!.evaluation });
		expect(Object.values(evaluation).every(Number.isFinite)).toBe(true);
	});
});

describe("a pool of scenes", () => {
	const out = join(folder, "pooled");
	const small = tinyRecipe({ unet: { steps: 6, pool: 40 } });
	const file = join(out, "training", "unet", "pool", "scenes-0000000.safetensors");

	beforeAll(() => {
		for (const name of ["vae", "text_encoder", "tokenizer"])
			cpSync(join(whole, name), join(out, name), { recursive: true });
	});

	test("is made once: a resumed run equals the one that never stopped, and draws nothing anew", async () => {
		const told: string[] = [];
		const onPool = (done: number, total: number) => told.push(`${done} of ${total}`);
		const losses = (await run("unet", out, { recipe: small, onPool })).map(({ loss }) => loss);
		expect(told).toEqual(["40 of 40"]);
		const again = join(folder, "pooled-parts");
		cpSync(out, again, { recursive: true });
		rmSync(join(again, "training", "unet", "checkpoints"), { recursive: true });
		const { mtimeMs } = statSync(join(again, "training", "unet", "pool", "scenes-0000000.safetensors"));
		const parts = [];
		for (const until of [2, 6]) parts.push(...(await run("unet", again, { recipe: small, resume: true, until })));
		expect(parts.map(({ loss }) => loss)).toEqual(losses);
		expect(statSync(join(again, "training", "unet", "pool", "scenes-0000000.safetensors")).mtimeMs).toBe(mtimeMs);
	});

	test("holds what the frozen networks make of the scenes", async () => {
		const pool = await openSafetensors(file);
		const means = await pool.readF32("means");
		const features = await pool.readF32("features");
		await pool.close();
		const size = 16 * 16 * 3;
		expect(means).toHaveLength(40 * size);
		const { pictures, captions } = await drawScenes({
			first: trainingSeed(small.seed, STAGES.indexOf("unet"), 1, 40),
			count: 40,
			data: small.stages.unet.data,
		});
		const pipe = await loadPipeline(out, { device });
		const text = await pipe.encodeText([captions[39]!]);
		expect(relativeDifference(features.subarray(39 * 77 * 16), text.features.data)).toBeLessThan(1e-3);
		const program = await device.compile((graph) => ({
			mean: pipe.autoencoder.encode(graph.input("pictures", [40, 64, 64, 3])).mean,
		}));
		const { mean } = await program.run({ pictures: toNetworkRange(pictures) });
		expect(relativeDifference(means, mean as Float32Array)).toBeLessThan(1e-3);
		program.dispose();
		pipe.dispose();
	});

	test("is made anew for other networks", async () => {
		const before = readFileSync(file);
		cpSync(join(parts, "vae"), join(out, "vae"), { recursive: true });
		await run("vae", out, { recipe: tinyRecipe({ vae: { steps: 1 } }) });
		await run("unet", out, { recipe: small, resume: true });
		expect(readFileSync(file).equals(before)).toBe(false);
	});
});

describe("what training fills", () => {
	test("is a model folder that loads and makes pictures", async () => {
		const pipe = await loadPipeline(whole, { device });
		const { features } = await pipe.encodeText(["a chalk drawing of an owl by the sea at night"]);
		expect(features.shape).toEqual([1, 77, 16]);
		const pictures = [];
		for await (const { image } of generate(pipe, "an owl", { count: 2, steps: 2, batch: 2 })) pictures.push(image);
		expect(pictures.map(({ width, height }) => [width, height])).toEqual([
			[64, 64],
			[64, 64],
		]);
		pipe.dispose();
	});

	test("has latents of deviation one", async () => {
		const config = JSON.parse(readFileSync(join(whole, "vae", "config.json"), "utf8"));
		const { latent_rms } = steps.get("vae")!.at(-1)!.evaluation!;
		expect(config.scaling_factor * latent_rms!).toBeCloseTo(1, 4);
	});

	test("has image tower, classifier and sample grids beside the pipeline's own parts", () => {
		for (const name of ["image_encoder/model.safetensors", "classifier/model.safetensors", "classifier/config.json"])
			expect(existsSync(join(whole, name)), name).toBe(true);
		for (const stage of ["vae", "unet"])
			expect(existsSync(join(whole, "training", stage, "samples", "step-000008.png")), stage).toBe(true);
		const { labels, heads } = JSON.parse(readFileSync(join(whole, "classifier", "config.json"), "utf8"));
		expect(heads.subject).toBe(20);
		expect(labels.subject).toContain("lighthouse");
	});

	test("is where training can start from again, with fresh moments", async () => {
		const out = join(folder, "again");
		const learningRate = 1e-12;
		const slow = tinyRecipe({ vae: { steps: 1, learningRate, warmupSteps: 0 } });
		await run("vae", out, { recipe: slow, from: whole });
		const [before, after] = [whole, out].map((model) =>
			readFileSync(join(model, "vae", "diffusion_pytorch_model.safetensors")),
		);
		expect(Buffer.compare(before!, after!)).toBe(0);
	});
});

describe("refusals", () => {
	test("a folder with a run is not started over", async () => {
		await expect(run("vae", whole)).rejects.toThrow(
			"holds a run with a checkpoint of step 8; go on with it (--resume)",
		);
	});

	test("a run does not go on with another recipe", async () => {
		const other = tinyRecipe({ vae: { learningRate: 1e-4 } });
		await expect(run("vae", whole, { recipe: other, resume: true })).rejects.toThrow("was started with another recipe");
		// What changes no weight may change.
		const more = tinyRecipe({ vae: { logEvery: 1, checkpointEvery: 3 } });
		expect(await run("vae", whole, { recipe: more, resume: true })).toHaveLength(0);
	});

	test("unless its settings are to change; the record keeps the earlier ones", async () => {
		const out = join(folder, "changed");
		const first = tinyRecipe({ vae: { steps: 3 } });
		const longer = tinyRecipe({ vae: { steps: 4, learningRate: 1e-4 } });
		await run("vae", out, { recipe: first });
		await expect(run("vae", out, { recipe: longer, resume: true })).rejects.toThrow(
			"it differs in steps, learningRate; resume with that one, change the settings from here on (--change-settings)",
		);
		expect(await run("vae", out, { recipe: longer, resume: true, changeSettings: true })).toHaveLength(1);
		const { decisive, earlier } = JSON.parse(readFileSync(join(out, "training", "vae", "run.json"), "utf8"));
		expect(decisive.settings).toMatchObject({ steps: 4, learningRate: 1e-4 });
		expect(earlier).toMatchObject([{ until: 3, settings: { steps: 3, learningRate: 3e-3 } }]);
		// Another network is another run, whatever is allowed.
		const wide = { ...longer, networks: { ...longer.networks, vae: { ...longer.networks.vae, latent_channels: 5 } } };
		await expect(run("vae", out, { recipe: wide, resume: true, changeSettings: true })).rejects.toThrow(
			"was started with another recipe",
		);
	});

	test("the UNet needs what it is trained on", async () => {
		await expect(run("unet", join(folder, "empty"))).rejects.toThrow(/text_encoder/);
	});

	test("a loss that is not finite ends the run in a sentence", async () => {
		const wild = tinyRecipe({ vae: { learningRate: 1e30, warmupSteps: 0 } });
		await expect(run("vae", join(folder, "wild"), { recipe: wild })).rejects.toThrow(
			/the loss of step \d of stage vae is not a finite number/,
		);
	});
});

test("timesteps are uniform, or drawn around a centre", () => {
	const parts = Array.from({ length: 1000 }, (_, i) => (i + 0.5) / 1000);
	const uniform = { center: 0.5, spread: 1 };
	expect(parts.map((part) => timestepAt(part, uniform))).toEqual(parts);
	const focus = { center: 0.6, spread: 0.5 };
	const drawn = parts.map((part) => timestepAt(part, focus));
	expect(timestepAt(0, focus)).toBe(0);
	expect(timestepAt(0.5, focus)).toBeCloseTo(0.6, 12);
	expect(drawn.every((t, i) => t < 1 && t > (drawn[i - 1] ?? 0))).toBe(true);
	// At 0.75 the logistic quantile is log 3: half of it from logit 0.6.
	expect(timestepAt(0.75, focus)).toBeCloseTo(1 / (1 + Math.exp(-(Math.log(1.5) + Math.log(3) / 2))), 12);
});

test("the learning rate rises, then falls to its final share", () => {
	const settings = { ...recipe.stages.vae, steps: 100, warmupSteps: 10, learningRate: 1, finalShare: 0.1 };
	const at = (step: number, schedule: "constant" | "linear" | "cosine") =>
		pretrainLearningRate({ ...settings, schedule }, step);
	for (const schedule of ["constant", "linear", "cosine"] as const) {
		expect(at(1, schedule)).toBeCloseTo(0.1);
		expect(at(10, schedule)).toBe(1);
	}
	expect(at(55, "cosine")).toBeCloseTo(0.55);
	expect(at(55, "linear")).toBeCloseTo(0.55);
	expect(at(32, "cosine")).toBeGreaterThan(at(32, "linear"));
	expect(at(100, "cosine")).toBeCloseTo(0.1);
	expect(at(100, "constant")).toBe(1);
	const late = (step: number) => pretrainLearningRate({ ...settings, schedule: "linear", decaySteps: 20 }, step);
	expect([late(5), late(11), late(80)]).toEqual([0.5, 1, 1]);
	expect(late(90)).toBeCloseTo(0.55);
	expect(late(100)).toBeCloseTo(0.1);
});
