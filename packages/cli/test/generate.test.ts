import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { readImage, readPngRecipe } from "@dreamdist/core";
import { afterAll, describe, expect, it } from "vitest";
import generateCommand from "../src/commands/generate.js";
import type { CommandContext } from "../src/context.js";
import { parseNamedSource, weightsOf } from "../src/generate/source.js";
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

describe.skipIf(!existsSync(model))(`generate (skipped where ${model} is absent)`, () => {
	const folder = mkdtempSync(join(tmpdir(), "dreamdist-generate-"));
	afterAll(() => rmSync(folder, { recursive: true }));
	const run = (out: string, options: object) =>
		generateCommand.run!({
			args: [[]],
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

	it("refuses sizes, samplers and folders that can't be, before anything is sampled", async () => {
		await expect(run("bad", { size: { width: 100, height: 64 } })).rejects.toThrow("the nearest to 100 are 64 and 128");
		await expect(run("bad", { sampler: "magic" })).rejects.toThrow(
			"--sampler magic does not exist; choose one of ddim",
		);
		await expect(run("/dev/null/x", {})).rejects.toThrow("can't be written to (ENOTDIR)");
		await expect(run("bad", { prompt: undefined })).rejects.toThrow("generate needs a text");
	});
});
