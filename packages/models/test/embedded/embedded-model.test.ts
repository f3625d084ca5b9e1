// The weights that the package carries: small enough, whole, and painting what captions say.
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Device, openDevice, PromptDistribution } from "@dreamdist/core";
import { plainCaption } from "@dreamdist/world";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import {
	EMBEDDED_MODEL,
	findModel,
	loadPipeline,
	missingFromEmbedded,
	type Pipeline,
	readRecipe,
	WorldClassifier,
} from "../../src/index.js";
import { Painter } from "../../src/pretrain/measure/painter.js";
import { heldOut, sceneOf } from "../../src/pretrain/scenes.js";

/** Networks and tokenizer, as the project allows itself. */
const MOST_BYTES = 18e6;
const CAPTIONS = 48;

function bytesIn(path: string): number {
	if (!statSync(path).isDirectory()) return statSync(path).size;
	return readdirSync(path).reduce((sum, name) => sum + bytesIn(join(path, name)), 0);
}

describe("the embedded model", () => {
	let device: Device;
	let folder: string;
	let pipe: Pipeline;

	beforeAll(async () => {
		// The package's own, whatever this machine's user tries out.
		vi.stubEnv("DD_MINI", "");
		device = await openDevice("cpu");
		folder = await findModel(EMBEDDED_MODEL);
		pipe = await loadPipeline(EMBEDDED_MODEL, { device });
	}, 60_000);
	afterAll(() => {
		pipe?.dispose();
		device?.dispose();
		vi.unstubAllEnvs();
	});

	test("is whole and small, with the recipe that repeats it", async () => {
		expect(missingFromEmbedded()).toBeNull();
		expect(bytesIn(folder)).toBeLessThan(MOST_BYTES);
		const recipe = await readRecipe(join(folder, "recipe.json"));
		expect(recipe.name).toBe(EMBEDDED_MODEL);
		expect(recipe).toEqual(await readRecipe(fileURLToPath(new URL("../../recipes/mini.json", import.meta.url))));
	});

	test("paints what captions say", async () => {
		const request = heldOut(CAPTIONS, { constraints: { count: 1 }, plainCaptions: 1, captionDetail: null }, 1000);
		const scenes = Array.from({ length: CAPTIONS }, (_, i) => sceneOf(request, i));
		const painter = await Painter.create(pipe, { steps: 10 });
		const pictures = await painter.texts(scenes.map(plainCaption), 1, 0);
		painter.dispose();
		const classifier = await WorldClassifier.open(folder, device);
		const { attributes } = await classifier.read(pictures);
		classifier.dispose();
		const right = (name: "subject" | "style" | "palette" | "background") =>
			attributes.filter((reading, i) => reading[name] === scenes[i]![name]).length / CAPTIONS;
		// Far above chance (1/6, 1/8, 1/8, 1/20), and below what docs/mini.md measures with more steps.
		expect(right("style")).toBeGreaterThan(0.5);
		expect(right("palette")).toBeGreaterThan(0.6);
		expect(right("background")).toBeGreaterThan(0.4);
		expect(right("subject")).toBeGreaterThan(0.15);
	}, 60_000);

	test("brings a distribution that was learned with these very weights", async () => {
		const distribution = await PromptDistribution.load(join(folder, "distributions", "blackboard-zoo.safetensors"));
		expect(distribution.baseModel?.hash).toBe(pipe.identity.hash);
	});
});
