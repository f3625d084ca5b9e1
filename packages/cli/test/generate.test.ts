import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { PromptDistribution, readImage, readPngRecipe } from "@dreamdist/core";
import { afterAll, describe, expect, it } from "vitest";
import generateCommand from "../src/commands/generate.js";
import type { CommandContext } from "../src/context.js";
import { openSources, parseNamedSource, sourceName, weightsOf } from "../src/generate/source.js";
import { parseSweep } from "../src/generate/sweep.js";
import { Output } from "../src/output.js";

const shared = process.env.DD_SHARED ?? resolve(import.meta.dirname, "../../../../shared");
const model = join(shared, "reference/tiny-sd21/model");

describe("sources of pictures", () => {
	it("are a path, a weight and a factor of the spread", () => {
		expect(parseNamedSource("run")).toEqual({ path: "run", weight: null, gamma: 1 });
		expect(parseNamedSource("a/b.safetensors:0.25")).toEqual({ path: "a/b.safetensors", weight: 0.25, gamma: 1 });
		expect(parseNamedSource("run:0.3:1.5")).toEqual({ path: "run", weight: 0.3, gamma: 1.5 });
		expect(parseNamedSource("odd:name:1")).toEqual({ path: "odd:name", weight: 1, gamma: 1 });
	});

	it("weigh the same unless told otherwise, and all are told or none", () => {
		expect(weightsOf(["a", "b"].map(parseNamedSource))).toEqual([0.5, 0.5]);
		expect(weightsOf(["a:0.2", "b:0.8"].map(parseNamedSource))).toEqual([0.2, 0.8]);
		expect(() => weightsOf(["a:0.2", "b"].map(parseNamedSource))).toThrow("b has no weight and others have");
	});
});

describe("a sweep", () => {
	it("is of the scale or of the mix, over numbers and ranges", () => {
		expect(parseSweep("scale=0,0.5,1,1.5,2")).toEqual({ kind: "scale", values: [0, 0.5, 1, 1.5, 2] });
		expect(parseSweep("mix=0:1:0.25")).toEqual({ kind: "mix", values: [0, 0.25, 0.5, 0.75, 1] });
		expect(parseSweep("mix=1:0:-0.1").values).toEqual([1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0]);
		expect(parseSweep("scale=0, 1:2:0.7").values).toEqual([0, 1, 1.7]);
	});

	it.each([
		["scale", "must be scale=VALUES"],
		["steps=1,2", "must be scale=VALUES"],
		["scale=", '"" is no number'],
		["scale=1,x", '"x" is no number'],
		["scale=0:1", '"0:1" is no number'],
		["scale=0:1:0", "never leads from 0 to 1"],
		["scale=0:1:-1", "never leads from 0 to 1"],
		["scale=0:1:0.001", "more than 100 values"],
		["scale=1,1", "twice"],
		["scale=-1", "-1 is not from 0 on"],
		["mix=0.5,1.5", "1.5 is not from 0 to 1"],
	])("refuses %s", (text, message) => {
		expect(() => parseSweep(text)).toThrow(message);
	});

	const plain = { scale: 1, mix: "paper", space: "features" } as const;
	it.each([
		[[], { prompt: "a church", sweep: parseSweep("scale=0,1") }, "--sweep needs learned distributions"],
		[[], { prompt: "a church", space: "tokens" }, "--space tokens needs a learned distribution"],
		[["a", "b"], { space: "tokens" }, "--space tokens draws from one distribution"],
		[["a"], { sweep: parseSweep("mix=0,1") }, "--sweep mix needs two distributions"],
		[["a"], { sweep: parseSweep("scale=0,1"), scale: 2 }, "leave out --scale"],
		[["a"], { sweep: parseSweep("scale=0,1"), mean: true }, "leave out --mean"],
	] as const)("does not go with everything (%#)", async (names, options, message) => {
		await expect(openSources(names, { ...plain, ...options }, ".")).rejects.toThrow(message);
	});

	it("calls a distribution by its run's name or its file's", () => {
		expect(["runs/gothic", "runs/gothic/distribution.safetensors", "x/baroque.safetensors"].map(sourceName)).toEqual([
			"gothic",
			"gothic",
			"baroque",
		]);
	});
});

describe.skipIf(!existsSync(model))(`generate (skipped where ${model} is absent)`, () => {
	const folder = mkdtempSync(join(tmpdir(), "dreamdist-generate-"));
	afterAll(() => rmSync(folder, { recursive: true }));
	const run = (out: string, options: object, distributions: readonly string[] = []) =>
		generateCommand.run!({
			args: [distributions],
			options: {
				device: "cpu",
				json: true,
				quiet: true,
				model,
				prompt: "a church",
				negative: "",
				steps: 3,
				guidance: 7.5,
				guidanceRescale: 0,
				size: { width: 128, height: 64 },
				count: 3,
				seed: 11,
				out,
				scale: 1,
				mix: "paper",
				space: "features",
				perPrompt: 1,
				...options,
			},
			output: new Output({ json: true, quiet: true }),
			signal: new AbortController().signal,
			directory: folder,
		} as CommandContext);

	it("writes pictures with their recipes and a sheet, the same for every batch", async () => {
		await run("one", { batch: 1 });
		await run("two", { batch: 2 });
		expect(readdirSync(join(folder, "one")).sort()).toEqual([
			"seed11-0000.png",
			"seed11-0001.png",
			"seed11-0002.png",
			"seed11-sheet.png",
		]);
		for (let i = 0; i < 3; i++) {
			const [a, b] = await Promise.all(
				["one", "two"].map((name) => readImage(join(folder, name, `seed11-000${i}.png`))),
			);
			expect([a!.width, a!.height]).toEqual([128, 64]);
			expect(Math.max(...a!.data.map((value, k) => Math.abs(value - b!.data[k]!)))).toBeLessThanOrEqual(2);
			expect(await readPngRecipe(join(folder, "one", `seed11-000${i}.png`))).toMatchObject({
				prompt: "a church",
				seed: 11,
				index: i,
				steps: 3,
				sampler: "ddim",
			});
		}
	});

	it("sweeps the scale, the mix and the space of prompts, one thing along each row", async () => {
		const width = 64;
		for (const [name, seed] of [
			["gothic", 1],
			["baroque", 2],
		] as const)
			await PromptDistribution.of({
				tokens: Float32Array.from({ length: 3 * 2 * width }, (_, i) => Math.sin(seed + i * i)),
				shape: [1, 3, 2, width],
				classes: null,
				words: { prefix: "", suffix: "", classPosition: "end" },
				baseModel: null,
				settings: {},
			}).save(join(folder, `${name}.safetensors`));
		const files = ["gothic.safetensors", "baroque.safetensors"];
		const small = { prompt: undefined, count: 2, size: { width: 64, height: 64 }, steps: 2 };
		const pixels = async (path: string) => (await readImage(join(folder, path))).data;
		await run("plain", { ...small }, files.slice(0, 1));
		await run("scale", { ...small, sweep: parseSweep("scale=0,1") }, files.slice(0, 1));
		expect(readdirSync(join(folder, "scale")).sort()).toEqual([
			"seed11-0000-scale0.png",
			"seed11-0000-scale1.png",
			"seed11-0001-scale0.png",
			"seed11-0001-scale1.png",
			"seed11-scale.png",
		]);
		expect(await pixels("scale/seed11-0001-scale1.png")).toEqual(await pixels("plain/seed11-0001.png"));
		expect(await pixels("scale/seed11-0001-scale0.png")).not.toEqual(await pixels("plain/seed11-0001.png"));
		expect(await readPngRecipe(join(folder, "scale/seed11-0001-scale0.png"))).toMatchObject({
			distributions: files.slice(0, 1),
			scale: 0,
			index: 1,
			sampledPrompt: 1,
		});
		await run("mix", { ...small, sweep: parseSweep("mix=0,0.5") }, files);
		expect(await pixels("mix/seed11-0000-mix0.png")).toEqual(await pixels("plain/seed11-0000.png"));
		expect(await readPngRecipe(join(folder, "mix/seed11-0000-mix0.5.png"))).toMatchObject({ weights: [0.5, 0.5] });
		await run("tokens", { ...small, space: "tokens" }, files.slice(0, 1));
		expect(await pixels("tokens/seed11-0000.png")).not.toEqual(await pixels("plain/seed11-0000.png"));
	});

	it("refuses sizes, samplers and folders that can't be, before anything is sampled", async () => {
		await expect(run("bad", { size: { width: 100, height: 64 } })).rejects.toThrow("the nearest to 100 are 64 and 128");
		await expect(run("bad", { sampler: "magic" })).rejects.toThrow(
			"--sampler magic does not exist; choose one of ddim",
		);
		await expect(run("/dev/null/x", {})).rejects.toThrow("can't be written to (ENOTDIR)");
		await expect(run("/dev/null", {})).rejects.toThrow("/dev/null is a file; choose a folder with --out");
		await expect(run("bad", { prompt: undefined })).rejects.toThrow("generate needs a text");
	});
});
