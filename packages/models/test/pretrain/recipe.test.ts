import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { caption, plainCaption } from "@dreamdist/world";
import { afterAll, describe, expect, test } from "vitest";
import { parseRecipe, readRecipe } from "../../src/index.js";
import { captionOf, drawScenes, heldOut, sceneOf, trainingSeed } from "../../src/pretrain/scenes.js";
import { tinyRecipe } from "./tiny-recipe.js";

const folder = mkdtempSync(join(tmpdir(), "dreamdist-recipe-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("a recipe", () => {
	test("is refused with the key that is wrong", async () => {
		const good = JSON.parse(JSON.stringify(tinyRecipe()));
		expect(() => parseRecipe({ ...good, seed: -1 })).toThrow(/recipe is not a recipe: "seed": Too small/);
		expect(() => parseRecipe({ ...good, stages: { ...good.stages, vae: { ...good.stages.vae, stpes: 3 } } })).toThrow(
			/"stages.vae": Unrecognized key: "stpes"/,
		);
		const path = join(folder, "recipe.json");
		writeFileSync(path, "{");
		await expect(readRecipe(path)).rejects.toThrow(`${path} is not valid JSON`);
		writeFileSync(path, JSON.stringify(good));
		expect(await readRecipe(path)).toEqual(tinyRecipe());
	});
});

describe("scenes of a run", () => {
	const { data } = tinyRecipe().stages.vae;

	test("no two steps, stages or recipes share any, and none is held out", () => {
		const seeds = new Set<number>();
		for (const recipe of [0, 1, 2 ** 20])
			for (const stage of [0, 1, 2, 3])
				for (const step of [1, 2, 1000])
					for (let i = 0; i < 4; i++) seeds.add(trainingSeed(recipe, stage, step, 4) + i);
		expect(seeds.size).toBe(3 * 4 * 3 * 4);
		expect(Math.max(...seeds)).toBeLessThan(heldOut(1, data).first);
		expect(() => trainingSeed(0, 0, 2 ** 27, 4)).toThrow("a stage may draw 268435456 scenes");
	});

	test("are drawn with their attributes and captions, the same every time", async () => {
		const request = heldOut(6, data);
		const [a, b] = [await drawScenes(request), await drawScenes(request)];
		expect(Buffer.compare(a.pictures, b.pictures)).toBe(0);
		expect(a.captions).toEqual(b.captions);
		const scene = sceneOf(request, 2);
		expect(a.attributes.count[2]).toBe(scene.count - 1);
		expect(a.attributes.night[2]).toBe(scene.night ? 1 : 0);
		expect(a.captions[2]).toBe(captionOf(scene, data));
	});

	test("follow the recipe's constraints and its share of plain captions", () => {
		const request = heldOut(400, {
			...data,
			constraints: { subject: "owl", count: 1 },
			plainCaptions: 0.25,
			captionDetail: 1,
		});
		const scenes = Array.from({ length: 400 }, (_, i) => sceneOf(request, i));
		expect(scenes.every(({ subject, count }) => subject === "owl" && count === 1)).toBe(true);
		const said = scenes.map((scene) => captionOf(scene, request.data));
		const plain = scenes.filter((scene, i) => said[i] === plainCaption(scene)).length;
		expect(plain).toBeGreaterThan(85);
		expect(plain).toBeLessThan(125);
		scenes.forEach((scene, i) => {
			expect([plainCaption(scene), caption(scene, 0, { detail: 1 })]).toContain(said[i]);
		});
	});
});
