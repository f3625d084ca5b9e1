import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readConfigFile, type TrainConfig } from "../src/train/config-file.js";

let folder: string;
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "dd-config-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function read(text: string): Promise<TrainConfig> {
	const path = join(folder, "settings");
	writeFileSync(path, text);
	return readConfigFile(path);
}

describe("a configuration file", () => {
	it("is JSON", async () => {
		expect(await read('\n{ "steps": 3, "size": [64, 64], "snrGamma": null, "out": "runs/a" }')).toEqual({
			run: { out: "runs/a" },
			settings: { steps: 3, size: [64, 64], snrGamma: null },
		});
		await expect(read("{ steps: 3")).rejects.toThrow(/settings is not JSON/);
	});

	it("is YAML, with the settings' own names or their options'", async () => {
		const text = [
			"---",
			"# what to learn",
			"images: [photos/a, photos/b]",
			"model: models/sd21",
			"steps: 300  # not many",
			"lr: 1e-3",
			"ortho-weight: 0.01",
			"tokens: 8",
			'prefix: "a \\"photo\\" # of"',
			"suffix: 'it''s night'",
			"initialWords: >-",
			"  church",
			"  at night",
			"flip: true",
			"snrGamma: ~",
			"size: [64, 96]",
			"checkpoint-every: 50",
			"validationPrompts:",
			"  - a photo of {}",
			"  - '{} at night'",
			"tensorboard: true",
			"",
		].join("\r\n");
		expect(await read(text)).toEqual({
			run: {
				images: ["photos/a", "photos/b"],
				model: "models/sd21",
				checkpointEvery: 50,
				validationPrompts: ["a photo of {}", "{} at night"],
				tensorboard: true,
			},
			settings: {
				steps: 300,
				learningRate: 0.001,
				orthogonalWeight: 0.01,
				vectors: 8,
				prefix: 'a "photo" # of',
				suffix: "it's night",
				initialWords: "church at night",
				flip: true,
				snrGamma: null,
				size: [64, 96],
			},
		});
		expect(await read("images: photos")).toEqual({ run: { images: ["photos"] }, settings: {} });
		expect(await read("size: 512")).toEqual({ run: {}, settings: { size: [512, 512] } });
		expect(await read("# nothing\n")).toEqual({ run: {}, settings: {} });
	});

	it.each([
		["an unknown key", "stpes: 3", 'there is no setting "stpes"; did you mean "steps"?'],
		["an unknown key of the run", "modle: x", 'there is no setting "modle"; did you mean "model"?'],
		["an unknown option", "warm-up: 3", 'there is no setting "warm-up"; did you mean "warmup"?'],
		["nothing near", "zzzzzz: 3", 'there is no setting "zzzzzz".'],
		["a setting by both names", "lr: 1\nlearningRate: 2", '"learningRate" and "learningRate" are the same setting'],
		["a key twice", "steps: 3\nsteps: 4", "is not YAML: Map keys must be unique at line 2"],
		["a line that is none", "steps: 3\nnonsense", "is not YAML:"],
		["a list", "- 3", "is no mapping of settings"],
		["a text", "hello", "is no mapping of settings"],
		["an open list", "size: [3, 4", "is not YAML:"],
		["an open quote", 'prefix: "b', "is not YAML:"],
		["a tag that makes objects", "steps: !!js/function 'x'", "is not YAML: Unresolved tag"],
		["a model that is a number", "model: 3", '"model" is not what it should be'],
		["a preset that does not exist", "preset: best", '"preset" is not what it should be'],
		[
			"aliases without end",
			`a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n${Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${`*a${i},`.repeat(10)}]`).join("\n")}`,
			"is not read: Excessive alias count",
		],
	])("is refused with %s", async (_, text, message) => {
		await expect(read(text)).rejects.toThrow(message);
		await expect(read(text)).rejects.toThrow(join(folder, "settings"));
	});

	it("is refused where it is not there, or endless", async () => {
		await expect(readConfigFile(join(folder, "none"))).rejects.toThrow(/can't be read \(ENOENT\)/);
		await expect(read(`# ${"x".repeat(2 ** 20)}`)).rejects.toThrow(/at most 1048576 are read/);
	});
});
