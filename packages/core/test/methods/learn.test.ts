import { appendFile, type FileHandle, mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import {
	createImage,
	createNoiseSchedule,
	type Denoiser,
	type FrozenModel,
	type LearnOptions,
	type LearnStep,
	learn,
	openDevice,
	PromptDistribution,
	readImage,
	readPngRecipe,
	readRunRecord,
	readSchedulerConfig,
	writePng,
} from "../../src/index.js";
import { TestRandom } from "../random.js";
import { interpretedDevice } from "./interpreted-device.js";
import { tinyAutoencoder, tinyDenoiser, tinyTextEncoder, WIDTH } from "./tiny-networks.js";

let folder: string;
let images: string;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "dd-learn-"));
	images = join(folder, "images");
	await mkdir(images);
	const random = new TestRandom(4);
	for (let n = 0; n < 3; n++) {
		const image = createImage(12, 8);
		for (let i = 0; i < image.data.length; i++) image.data[i] = random.integer(0, 255);
		await writePng(join(images, `picture-${n}.png`), image);
	}
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const betas = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: "scaled_linear", prediction_type: "v_prediction" };

function tinyModel(denoiser: Denoiser = tinyDenoiser, device = interpretedDevice({ rounded: true })): FrozenModel {
	const scheduler = readSchedulerConfig({ _class_name: "DDIMScheduler", ...betas }, { latents: true });
	return {
		device,
		textEncoder: tinyTextEncoder,
		denoiser,
		autoencoder: tinyAutoencoder,
		noiseSchedule: createNoiseSchedule(scheduler),
		scheduler,
		identity: { id: "tiny", hash: "0123" },
	};
}

const settings: LearnOptions = {
	prompts: 3,
	vectors: 2,
	samples: 2,
	size: [8, 8],
	flip: true,
	steps: 6,
	learningRate: 0.01,
	seed: 5,
};

async function run(options: LearnOptions, model = tinyModel()): Promise<{ steps: LearnStep[]; tokens: Float32Array }> {
	const learning = learn(model, images, { ...settings, ...options });
	const steps: LearnStep[] = [];
	for await (const step of learning) steps.push(step);
	return { steps, tokens: (await learning.result()).distribution.tokens.data };
}

const losses = (steps: readonly LearnStep[]) => steps.map(({ loss }) => loss);

describe("learning", () => {
	it("takes its steps, sees every picture once an epoch, and gives the same numbers again", async () => {
		const first = await run({});
		expect(first.steps.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
		for (const epoch of [first.steps.slice(0, 3), first.steps.slice(3)])
			expect(epoch.flatMap(({ pictures }) => pictures).sort()).toEqual([0, 1, 2]);
		expect(first.tokens.length).toBe(3 * 2 * WIDTH);
		const second = await run({});
		expect(losses(second.steps)).toEqual(losses(first.steps));
		expect(second.tokens).toEqual(first.tokens);
		expect((await run({ seed: 6 })).tokens).not.toEqual(first.tokens);
	});

	it("brings the loss down", async () => {
		const { steps } = await run({
			steps: 120,
			learningRate: 0.05,
			orthogonalWeight: 0,
			minTimestep: 500,
			maxTimestep: 501,
		});
		const mean = (list: readonly LearnStep[]) => losses(list).reduce((a, b) => a + b) / list.length;
		expect(mean(steps.slice(-30))).toBeLessThan(0.97 * mean(steps.slice(0, 30)));
	});

	it("starts from words where asked", async () => {
		const { tokens } = await run({ initialWords: "church", steps: 1, learningRate: 1e-9, weightDecay: 0 });
		const spread = tokens.map((value, i) => Math.abs(value - tokens[i % WIDTH]!));
		expect(Math.max(...spread)).toBeLessThan(0.02);
		expect(Math.max(...tokens.map(Math.abs))).toBeGreaterThan(0.1);
	});

	it("refuses settings that do not fit, naming them", async () => {
		const refused = (options: LearnOptions & Record<string, unknown>) => expect(run(options)).rejects;
		await refused({ promts: 3 }).toThrow(/no setting "promts"; did you mean "prompts"\?/);
		await refused({ prompts: 0 }).toThrow(/"prompts" must be at least 1/);
		await refused({ size: [9, 8] }).toThrow(/size 9×8 .* multiples of 2; the nearest to 9 are 8 and 10/);
		await refused({ vectors: 8 }).toThrow(/needs 10 positions/);
		await refused({ maxTimestep: 2000 }).toThrow(/from 0 to 2000 do not fit the model's 1000/);
		await refused({ minTimestep: 9, maxTimestep: 9 }).toThrow(/maxTimestep 9 must be above minTimestep 9/);
		await refused({ checkpointEvery: 0 }).toThrow(/checkpointEvery must be a whole number from 1 on/);
		await refused({ resume: true }).toThrow(/without a folder \(out\) can't be resumed/);
	});

	it("stops at a loss that is not finite, naming the step and its timestep", async () => {
		const out = join(folder, "diverges");
		const learning = learn(tinyModel(), images, { ...settings, out, checkpointEvery: 1, learningRate: 1e38 });
		const taken: number[] = [];
		const all = (async () => {
			for await (const { step } of learning) taken.push(step);
		})();
		await expect(all).rejects.toThrow(/the loss of step \d+ is not a finite number \(timestep \d+\)/);
		expect((await readRunRecord(join(out, "run.json")))?.status).toBe("failed");
		expect(await readdir(join(out, "checkpoints"))).toHaveLength(taken.length);
	});

	it("keeps unreadable pictures out, and says so; none left is an error", async () => {
		const mixed = join(folder, "mixed");
		await mkdir(mixed);
		await writePng(join(mixed, "good.png"), createImage(8, 8, [9, 9, 9]));
		await writePng(join(mixed, "same.png"), createImage(8, 8, [9, 9, 9]));
		await writePng(join(mixed, "tiny.png"), createImage(1, 1, [200, 0, 0]));
		await writePng(join(mixed, "strip.png"), createImage(400, 2));
		await writeFile(join(mixed, "bad.jpg"), "no picture");
		const learning = learn(tinyModel(), mixed, {
			...settings,
			steps: 1,
			onPlan: ({ report, pictures }) => {
				expect(pictures).toBe(3);
				expect(report.skipped.map(({ path }) => path.slice(mixed.length + 1))).toEqual(["bad.jpg", "strip.png"]);
				expect(report.duplicates).toEqual([{ path: join(mixed, "same.png"), of: join(mixed, "good.png") }]);
				expect(report.enlarged).toEqual([join(mixed, "tiny.png")]);
			},
		});
		expect((await learning.result()).steps).toBe(1);
		await expect(learn(tinyModel(), join(mixed, "bad.jpg"), settings).result()).rejects.toThrow(
			/none of the 1 picture files can be used; the first: .*bad.jpg/,
		);
		await expect(learn(tinyModel(), join(folder, "nowhere"), settings).result()).rejects.toThrow(/nowhere/);
		await expect(learn(tinyModel(), folder, settings).result()).rejects.toThrow(/no pictures in .* but it has folders/);
		await expect(learn(tinyModel(), join(mixed, "*.gif"), settings).result()).rejects.toThrow(/there are no pictures/);
		expect(
			(await learn(tinyModel(), join(folder, "im*", "picture-[01].png"), { ...settings, steps: 1 }).result()).steps,
		).toBe(1);
	});
});

describe("a hundred classes", () => {
	it("have prompts of their own, of which a step moves those of its pictures alone", async () => {
		const where = join(folder, "hundred");
		for (let n = 0; n < 100; n++) {
			const own = join(where, `class-${String(n).padStart(2, "0")}`);
			await mkdir(own, { recursive: true });
			await writePng(join(own, "a.png"), createImage(8, 8, [n, 2 * n, 255 - n]));
		}
		const options = { ...settings, classes: true, batch: 3, prompts: 2, vectors: 1, flip: false };
		const learned = async (steps: number) => {
			const learning = learn(tinyModel(), where, { ...options, steps });
			const pictures: (readonly number[])[] = [];
			for await (const step of learning) pictures.push(step.pictures);
			return { pictures, ...(await learning.result()) };
		};
		const [two, three] = [await learned(2), await learned(3)];
		expect(three.distribution.classes).toHaveLength(100);
		// There is one picture per class, in their order.
		const moved = new Set(three.pictures[2]!);
		expect(moved.size).toBe(3);
		for (const [n, name] of three.distribution.classes!.entries()) {
			const [before, after] = [two, three].map((one) => one.distribution.ofClass(name).tokens.data);
			if (moved.has(n)) expect(after, name).not.toEqual(before);
			else expect(after, name).toEqual(before);
		}
	});
});

describe("a run folder", () => {
	it("holds the record, a line per step, checkpoints and the distribution", async () => {
		const out = join(folder, "whole");
		const { steps, tokens } = await run({ out, checkpointEvery: 2, keep: 2 });
		expect(await readdir(join(out, "checkpoints"))).toEqual(["step-000004", "step-000006"]);
		const record = await readRunRecord(join(out, "run.json"));
		expect(record).toMatchObject({
			status: "finished",
			step: 6,
			model: { id: "tiny" },
			settings: { prompts: 3, weightDecay: 0.01 },
		});
		expect(record!.pictures).toHaveLength(3);
		const lines = (await readFile(join(out, "metrics.jsonl"), "utf8"))
			.trim()
			.split("\n")
			.map((line) => JSON.parse(line));
		expect(lines.map(({ loss }) => loss)).toEqual(losses(steps));
		const saved = await PromptDistribution.load(join(out, "distribution.safetensors"));
		expect(saved.tokens.data).toEqual(tokens);
		expect(saved.settings).toMatchObject({ seed: 5, stepsTaken: 6 });
		expect((await readdir(out)).sort()).toEqual([
			"checkpoints",
			"distribution.safetensors",
			"index.html",
			"metrics.jsonl",
			"run.json",
		]);
	});

	it("shows the run on a page, with grids of samples at fixed seeds", async () => {
		const out = join(folder, "shown & <told>");
		await run({ out, sampleEvery: 3, validationPrompts: ["a photo of {} at night"], vectors: 1 });
		expect(await readdir(join(out, "samples"))).toEqual(["step-000003.png", "step-000006.png"]);
		const grid = await readImage(join(out, "samples", "step-000003.png"));
		expect(grid.width).toBeGreaterThan(4 * 8);
		expect(await readPngRecipe(join(out, "samples", "step-000003.png"))).toMatchObject({
			prompts: ["a photo of {} at night"],
		});
		const page = await readFile(join(out, "index.html"), "utf8");
		expect(page).toContain("<title>shown &#38; &#60;told&#62;</title>");
		for (const part of ["polyline", 'src="samples/step-000006.png"', "prompt 3", '"seed"'.slice(1, -1), "position 8"])
			expect(page).toContain(part);
		// Nothing is fetched from anywhere.
		expect(page).not.toMatch(/https?:|<script|<link/);
		// A process that was killed before it wrote the samples of its last checkpoint leaves that to the next.
		const last = await readFile(join(out, "samples", "step-000006.png"));
		await rm(join(out, "samples", "step-000006.png"));
		await run({ out, vectors: 1, resume: true });
		expect(await readFile(join(out, "samples", "step-000006.png"))).toEqual(last);
		// What is written on the way is not asked for again, but may be changed.
		expect((await readRunRecord(join(out, "run.json")))?.reporting).toEqual({
			sampleEvery: 3,
			validationPrompts: ["a photo of {} at night"],
		});
		await run({ out, vectors: 1, resume: true, steps: 9, sampleEvery: 2, keep: 2 });
		expect((await readdir(join(out, "samples"))).at(-1)).toBe("step-000008.png");
		expect(await readdir(join(out, "checkpoints"))).toEqual(["step-000008", "step-000009"]);
		await expect(run({ validationPrompts: ["no place"] })).rejects.toThrow(/"no place" must have \{\} once/);
	});

	for (const classes of [false, true])
		it(`goes on after a crash as if it had never stopped${classes ? ", class by class" : ""}`, async () => {
			const [whole, broken] = ["a", "b"].map((name) => join(folder, `${name}-${classes}`)) as [string, string];
			const where = classes ? join(folder, "by-class") : images;
			if (classes)
				for (const [i, name] of ["dog", "cat", "church"].entries()) {
					await mkdir(join(where, name), { recursive: true });
					await writePng(join(where, name, "a.png"), createImage(10, 8, [50 * i, 90, 10]));
				}
			const options = { ...settings, checkpointEvery: 2, accumulate: 2, classes };
			const expected = (await learn(tinyModel(), where, { ...options, out: whole }).result()).distribution;

			for await (const { step } of learn(tinyModel(), where, { ...options, out: broken })) if (step === 5) break;
			// What a process killed after step 5 leaves: no checkpoint of it, lines past the last one, things half written.
			await rm(join(broken, "checkpoints", "step-000005"), { recursive: true });
			await mkdir(join(broken, "checkpoints", ".partial-step-000006"));
			await appendFile(join(broken, "metrics.jsonl"), '{"step":6,"lo');
			await writeFile(
				join(broken, "lock.json"),
				JSON.stringify({ pid: 2 ** 22 + 1, host: (await import("node:os")).hostname(), started: "", token: "" }),
			);

			const resumed = learn(tinyModel(), where, {
				...options,
				out: broken,
				resume: true,
				onPlan: ({ startStep }) => expect(startStep).toBe(4),
			});
			const after = (await resumed.result()).distribution;
			expect(classes ? after.ofClass("dog").tokens : after.tokens).toEqual(
				classes ? expected.ofClass("dog").tokens : expected.tokens,
			);
			expect(await readFile(join(broken, "distribution.safetensors"))).toEqual(
				await readFile(join(whole, "distribution.safetensors")),
			);
			const timeless = async (out: string) =>
				(await readFile(join(out, "metrics.jsonl"), "utf8")).replace(/,"seconds":[^}]*/g, "");
			expect(await timeless(broken)).toBe(await timeless(whole));
			expect(await readdir(join(broken, "checkpoints"))).toEqual(await readdir(join(whole, "checkpoints")));
		});

	it("is refused when it is not empty, and resumed only as it began", async () => {
		const out = join(folder, "again");
		await run({ out, steps: 2 });
		await expect(run({ out })).rejects.toThrow(/again is not empty; resume the run in it \(--resume\)/);
		await expect(run({ out, resume: true, learningRate: 0.5, samples: 3 })).rejects.toThrow(
			/settings differ: samples \(2 before, 3 now\), learningRate \(0.01 before, 0.5 now\)/,
		);
		const other = { ...tinyModel(), identity: { id: "other", hash: "ffff" } };
		await expect(run({ out, resume: true }, other)).rejects.toThrow(
			/the model is another one \(tiny before, other now\)/,
		);
		await expect(
			learn(tinyModel(), join(images, "picture-0.png"), { ...settings, out, resume: true }).result(),
		).rejects.toThrow(/pictures differ \(3 before, 1 now\)/);
		// Finished: nothing is left to do; more steps may be asked for.
		expect((await run({ out, steps: 2, resume: true })).steps).toEqual([]);
		expect((await run({ out, steps: 4, resume: true })).steps.map(({ step }) => step)).toEqual([3, 4]);
		const plain = join(folder, "plain");
		await mkdir(plain);
		await writeFile(join(plain, "notes.txt"), "mine");
		await expect(run({ out: plain, resume: true })).rejects.toThrow(/holds no run/);
		// With no checkpoint yet a resumed run begins at its beginning.
		expect((await run({ out: join(folder, "fresh"), steps: 1, resume: true })).steps).toHaveLength(1);
	});

	it("survives a full disk with its last checkpoint, from which it goes on as if nothing had been", async () => {
		const out = join(folder, "full");
		const expected = await run({ steps: 6 });
		const handle = await open(join(images, "picture-0.png"));
		const writing = vi.spyOn(Object.getPrototypeOf(handle) as FileHandle, "write");
		await handle.close();
		try {
			const learning = learn(tinyModel(), images, { ...settings, out, checkpointEvery: 2 });
			const all = (async () => {
				for await (const { step } of learning) {
					if (step !== 3) continue;
					const full = Object.assign(new Error("full"), { code: "ENOSPC", syscall: "write" });
					writing.mockImplementation(async () => {
						throw full;
					});
				}
			})();
			await expect(all).rejects.toThrow(/step-000004.* the disk is full; free some space/);
		} finally {
			writing.mockRestore();
		}
		expect(await readdir(join(out, "checkpoints"))).toEqual(["step-000002"]);
		expect((await readdir(out)).filter((name) => name.startsWith(".") || name === "lock.json")).toEqual([]);
		const resumed = await run({ out, resume: true, checkpointEvery: 2 });
		expect(resumed.steps.map(({ step }) => step)).toEqual([3, 4, 5, 6]);
		expect(resumed.tokens).toEqual(expected.tokens);
	});

	it("can't be made where nothing can be written, and says why", async () => {
		await expect(run({ out: join(images, "picture-0.png", "x") })).rejects.toThrow(/is a file, not a folder/);
		await expect(run({ out: "/proc/dreamdist/x" })).rejects.toThrow(/cannot make the run folder \/proc\/dreamdist\/x/);
	});

	it("is locked while it is in use", async () => {
		const out = join(folder, "locked");
		const iterator = learn(tinyModel(), images, { ...settings, out })[Symbol.asyncIterator]();
		await iterator.next();
		await expect(run({ out, resume: true })).rejects.toThrow(/locked is in use by process \d+/);
		await iterator.return?.();
		expect((await readRunRecord(join(out, "run.json")))?.status).toBe("interrupted");
		expect((await run({ out, resume: true })).steps[0]!.step).toBe(2);
	});

	it("keeps a checkpoint of the last whole step when it is aborted", async () => {
		const out = join(folder, "aborted");
		const controller = new AbortController();
		const all = (async () => {
			for await (const { step } of learn(tinyModel(), images, { ...settings, out, signal: controller.signal }))
				if (step === 3) controller.abort(new Error("enough"));
		})();
		await expect(all).rejects.toThrow("enough");
		expect(await readdir(join(out, "checkpoints"))).toEqual(["step-000003"]);
		expect((await readRunRecord(join(out, "run.json")))?.status).toBe("interrupted");
	});
});

describe("learning on the CPU", () => {
	it("gives the interpreter's losses, and the same bits whether or not it was stopped", async () => {
		const device = await openDevice("cpu", { threads: 2 });
		try {
			const options = { ...settings, batch: 2, noiseOffset: 0.1, snrGamma: 5 };
			const exact = await run(options);
			const whole = await run(options, tinyModel(tinyDenoiser, device));
			whole.steps.forEach(({ loss }, i) => {
				expect(loss).toBeCloseTo(exact.steps[i]!.loss, 5);
			});
			const out = join(folder, "native");
			const first = learn(tinyModel(tinyDenoiser, device), images, { ...options, out });
			for await (const { step } of first) if (step === 3) break;
			const compiled = device.compilations;
			const resumed = await run({ ...options, out, resume: true }, tinyModel(tinyDenoiser, device));
			expect(resumed.steps.map(({ step }) => step)).toEqual([4, 5, 6]);
			expect(resumed.tokens).toEqual(whole.tokens);
			// The autoencoder's program and the step's, and two for the page; nothing compiles while steps are taken.
			expect(device.compilations).toBe(compiled + 4);
			expect(device.memory.state).toBe(0);
		} finally {
			device.dispose();
		}
	});
});
