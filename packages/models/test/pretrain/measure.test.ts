import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Device, openDevice, openSafetensors } from "@dreamdist/core";
import { ATTRIBUTES, render, sampleScene } from "@dreamdist/world";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { frechetDistance, measureModel, pretrain, STAGES, WorldClassifier } from "../../src/index.js";
import { hashedNumber } from "../../src/weights/formula.js";
import { temporaryFolder } from "../tiny-model.js";
import { tinyRecipe } from "./tiny-recipe.js";

const shared = join(process.env.DD_SHARED ?? resolve(import.meta.dirname, "../../../../../shared"), "reference/vision");
const isPresent = existsSync(join(shared, "cases.json"));
if (!isPresent)
	console.warn(`Skipping reference Fréchet distances: there is no ${shared} (DD_SHARED names the folder).`);

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
	});
	afterAll(() => {
		device.dispose();
		remove();
	});

	test("tells how often each attribute is read right, of scenes and of pictures", async () => {
		const seen: number[] = [];
		const result = await measureModel(folder, {
			device,
			captions: 5,
			steps: 2,
			batch: 3,
			onPicture: (done) => seen.push(done),
		});
		expect(seen).toEqual([1, 2, 3, 4, 5]);
		expect(result.captions).toBe(5);
		for (const shares of [result.real, result.generated]) {
			expect(Object.keys(shares)).toEqual([...ATTRIBUTES]);
			// Fifths, as there are five pictures.
			for (const share of Object.values(shares)) expect([0, 0.2, 0.4, 0.6, 0.8, 1]).toContain(share);
		}
		expect(result.frechet.generated).toBeGreaterThan(0);
		expect(result.frechet.real).toBeGreaterThan(0);
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
