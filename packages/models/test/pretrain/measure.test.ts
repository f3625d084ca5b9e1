import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Device, openDevice, openSafetensors } from "@dreamdist/core";
import { ATTRIBUTES, render, sampleScene } from "@dreamdist/world";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
	frechetDistance,
	measureMethod,
	measureModel,
	methodTables,
	modelTable,
	pretrain,
	STAGES,
	WorldClassifier,
} from "../../src/index.js";
import { hashedNumber } from "../../src/weights/formula.js";
import { temporaryFolder } from "../tiny-model.js";
import { tinyRecipe } from "./tiny-recipe.js";

const shared = join(process.env.DD_SHARED ?? resolve(import.meta.dirname, "../../../../../shared"), "reference/vision");
const isPresent = existsSync(join(shared, "cases.json"));
if (!isPresent)
	console.warn(`Skipping reference Fréchet distances: there is no ${shared} (DD_SHARED names the folder).`);

const repository = resolve(import.meta.dirname, "../../../..");
const isBuilt = existsSync(join(repository, "packages", "models", "dist", "embedded", "model-card.js"));
if (!isBuilt) console.warn("Skipping scripts: packages/models/dist is not there.");

const numbers = (count: number, salt: number) =>
	Float64Array.from({ length: count }, (_, i) => hashedNumber(i, 1, salt));

describe("frechetDistance", () => {
	test("is zero between a set and itself, and symmetric", () => {
		const [a, b] = [numbers(60, 1), numbers(90, 2)];
		expect(frechetDistance(a, a, 6)).toBeCloseTo(0, 10);
		expect(frechetDistance(a, b, 6)).toBeCloseTo(frechetDistance(b, a, 6), 10);
		expect(() => frechetDistance(a, b, 60)).toThrow("needs two rows of 60 features or more");
	});

	test("of one feature is that of two normal distributions", () => {
		// Means 2 and 5, unbiased variances 2 and 8.
		const distance = (5 - 2) ** 2 + (Math.sqrt(8) - Math.sqrt(2)) ** 2;
		expect(frechetDistance([1, 3], [3, 7], 1)).toBeCloseTo(distance, 10);
	});

	test("of shifted features is the shift's length squared", () => {
		const a = numbers(200, 3);
		const shifted = a.map((v, i) => v + (i % 5));
		expect(frechetDistance(a, shifted, 5)).toBeCloseTo(0 + 1 + 4 + 9 + 16, 9);
	});

	test.skipIf(!isPresent)("equals the reference's, however few the samples", async () => {
		const { cases } = JSON.parse(readFileSync(join(shared, "cases.json"), "utf8"));
		// Features of the classifier are 96 wide; Jacobi's rotations would take minutes on the widest.
		const narrow = ({ kind, name }: { kind: string; name: string }) =>
			kind === "metrics" && Number(name.split("_").at(-1)) <= 128;
		const sets = cases.filter(narrow);
		expect(sets.length).toBeGreaterThan(1);
		for (const { name, file, expected } of sets) {
			const tensors = await openSafetensors(join(shared, file));
			const [real, fake] = [await tensors.readF32("real"), await tensors.readF32("fake")];
			const width = tensors.tensors.get("real")!.shape[1]!;
			await tensors.close();
			expect(Math.abs(frechetDistance(real, fake, width) - expected.fid), name).toBeLessThan(2e-6 * expected.fid);
		}
	});
});

describe("measuring a model", () => {
	const { folder, remove } = temporaryFolder();
	let device: Device;
	beforeAll(async () => {
		device = await openDevice("cpu");
		const short = { steps: 1, warmupSteps: 0 };
		const recipe = tinyRecipe({ classifier: short, vae: short, clip: short, unet: short });
		for (const stage of STAGES) for await (const _ of pretrain({ recipe, stage, out: folder, device }));
	}, 60_000);
	afterAll(() => {
		device.dispose();
		remove();
	});

	test("tells how often each attribute is read right, of scenes and of pictures; kept parts are not made again", async () => {
		const seen: number[] = [];
		const work = join(folder, "work");
		const options = { device, captions: 5, steps: 2, batch: 3, work, onPicture: (done: number) => seen.push(done) };
		const result = await measureModel(folder, options);
		expect(seen).toEqual([5]);
		expect(result.captions).toBe(5);
		for (const shares of [result.real, result.generated]) {
			expect(Object.keys(shares)).toEqual([...ATTRIBUTES]);
			// Fifths, as there are five pictures.
			for (const share of Object.values(shares)) expect([0, 0.2, 0.4, 0.6, 0.8, 1]).toContain(share);
		}
		expect(result.frechet.generated).toBeGreaterThan(0);
		expect(result.frechet.real).toBeGreaterThan(0);
		expect(result.psnr).toBeGreaterThan(3);
		expect(result.retrieval * result.retrievalCaptions).toBeCloseTo(Math.round(result.retrieval * 32), 9);
		expect(modelTable(result)).toMatch(/\| subject \| \d+\.0 % \| \d+\.0 % \|/);

		// As if the pictures had been read as other things.
		const path = join(work, "pictures-0.json");
		const part = JSON.parse(readFileSync(path, "utf8"));
		for (const attributes of part.attributes) attributes.style = "nothing";
		writeFileSync(path, JSON.stringify(part));
		expect((await measureModel(folder, options)).generated.style).toBe(0);
		await expect(measureModel(folder, { ...options, captions: 6 })).rejects.toThrow(
			"holds a measurement of other weights or with other settings",
		);
	});

	test("measures learned distributions set by set, and goes on where it was interrupted", async () => {
		const said: string[] = [];
		const options = {
			device,
			work: join(folder, "method"),
			sets: ["tipsy-robots", "two-moods"],
			pictures: 3,
			steps: 1,
			learning: { prompts: 2, vectors: 1, samples: 2, steps: 1 },
			onPart: (text: string) => said.push(text),
		};
		const controller = new AbortController();
		const onPart = (text: string) => {
			said.push(text);
			if (text === "learning two-moods") controller.abort();
		};
		await expect(measureMethod(folder, { ...options, onPart, signal: controller.signal })).rejects.toThrow();
		const first = ["learning tipsy-robots", "painting tipsy-robots", "learning tipsy-robots, 1 prompt"];
		expect(said).toEqual([...first, "learning two-moods"]);
		said.length = 0;
		const result = await measureMethod(folder, options);
		expect(said.slice(0, 2)).toEqual(["learning two-moods", "painting two-moods"]);
		expect(result).toMatchObject({ pictures: 3, steps: 1, prompts: 2 });
		const [robots, moods] = result.sets;
		expect(robots!.scales.map(({ gamma }) => gamma)).toEqual([0, 1, 2]);
		// The robots are in chalk by themselves; the moods share nothing but that each is alone.
		expect([robots!.edits, moods!.edits].map((edits) => edits.map(({ edit }) => edit))).toEqual([
			[],
			["in chalk", "at sea"],
		]);
		expect(robots!.real.support).toBeGreaterThan(0);
		for (const { figures } of [...robots!.scales, { figures: robots!.single }]) {
			expect(Object.values(figures).every(Number.isFinite)).toBe(true);
			expect(figures.diversity).toBeGreaterThan(0);
		}
		expect(result.mixes.map(({ first, second }) => [first, second])).toEqual([
			["tipsy-robots", "two-moods"],
			["two-moods", "tipsy-robots"],
		]);
		expect(result.mixes[0]!.leaning.map(({ weight }) => weight)).toEqual([0, 0.25, 0.5, 0.75, 1]);
		expect(methodTables(result)).toMatch(/\| tipsy-robots, two-moods( \| \d\.\d\d){5} \|/);
	});

	test.skipIf(!isBuilt)("is what scripts do: embed a model, and write the tables into its card", () => {
		const script = (name: string, ...args: string[]) =>
			spawnSync(process.execPath, [join(repository, "scripts", name), ...args], { cwd: folder, encoding: "utf8" });
		const out = join(folder, "embedded");
		const card = join(out, "README.md");
		writeFileSync(join(folder, "limits.md"), "Cats look like owls.\n");
		expect(script("embed-mini.mjs", folder, "--out", out)).toMatchObject({ status: 0, stderr: "" });
		const text = readFileSync(card, "utf8");
		expect(text).toContain("| vae | 1 of 1 | 4 | cpu");
		expect(text).toMatch(/\| clip \| .* \| 0\.00 \| retrieval_of_32 /);
		expect(text).toContain("--stage unet --out models/tiny");
		expect(text).toContain("the first to go wrong.\n\nCats look like owls.\n");
		expect(readFileSync(join(out, "curves.svg"), "utf8").match(/<polyline/g)).toHaveLength(4);
		expect(existsSync(join(out, "training"))).toBe(false);
		const samples = join(folder, "training", "unet", "samples");
		expect(readFileSync(join(out, "pictures.png"))).toEqual(readFileSync(join(samples, readdirSync(samples).at(-1)!)));

		const measured = script("measure-mini.mjs", "quality", "--quick", "--model", out, "--docs", card);
		expect(measured.status, measured.stderr).toBe(0);
		const table = readFileSync(card, "utf8");
		expect(table).toContain(measured.stdout.trim());
		expect(table).toContain("5 held-out captions, one picture each.");
		// Once more from what was kept: the same card.
		expect(script("measure-mini.mjs", "quality", "--quick", "--model", out, "--docs", card).status).toBe(0);
		expect(readFileSync(card, "utf8")).toBe(table);

		expect(script("measure-mini.mjs", "method", "--docs", card).stderr).toContain("has no place for the table");
		expect(script("embed-mini.mjs", join(folder, "nothing")).stderr).toMatch(/^.*nothing lacks text_encoder/);
	});

	test("reads a picture the same whatever it is read with", async () => {
		const classifier = await WorldClassifier.open(folder, device);
		const pictures = await render(Array.from({ length: 35 }, (_, i) => sampleScene(i)));
		const all = await classifier.read(pictures);
		expect(all.attributes).toHaveLength(35);
		const size = pictures.length / 35;
		const one = await classifier.read(pictures.subarray(33 * size, 34 * size));
		expect(one.attributes[0]).toEqual(all.attributes[33]);
		const width = all.featureWidth;
		expect([...one.features]).toEqual([...all.features.subarray(33 * width, 34 * width)]);
		classifier.dispose();
	});
});
