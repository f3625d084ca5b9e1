import { describe, expect, test } from "vitest";
import {
	ATTRIBUTE_VALUES,
	ATTRIBUTES,
	attributeDistribution,
	inSet,
	REFERENCE_SETS,
	referenceScenes,
	type Scene,
	sampleScene,
	sampleSet,
} from "../src/index.js";

const NAMES = REFERENCE_SETS.map(({ name }) => name);

/** Frequencies lie within four standard deviations of the exact probabilities. */
function expectDrawnFrom(scenes: readonly Scene[], set: string | null): void {
	for (const attribute of ATTRIBUTES) {
		const exact = attributeDistribution(set, attribute);
		let total = 0;
		for (const p of exact.values()) total += p;
		expect(total).toBeCloseTo(1, 12);
		for (const value of ATTRIBUTE_VALUES[attribute]) {
			const p = exact.get(value) ?? 0;
			const seen = scenes.filter((scene) => scene[attribute] === value).length / scenes.length;
			const spread = Math.sqrt((p * (1 - p)) / scenes.length);
			expect(Math.abs(seen - p), `${set ?? "world"}: ${attribute} ${value}`).toBeLessThanOrEqual(4 * spread + 1e-9);
		}
	}
}

describe("the world at large", () => {
	const scenes = Array.from({ length: 4000 }, (_, i) => sampleScene(700_000 + i));

	test("draws every attribute from its exact distribution", () => {
		expectDrawnFrom(scenes, null);
		const lean = scenes.filter(({ subject }) => subject === "cat").map((scene) => scene.lean);
		expect(Math.max(...lean.map(Math.abs))).toBeLessThanOrEqual(16);
	});

	test("no set is met often by chance, and none is empty of chance", () => {
		for (const name of NAMES) {
			const share = scenes.filter((scene) => inSet(scene, name)).length / scenes.length;
			expect(share, name).toBeLessThan(0.02);
		}
	});
});

describe("reference sets", () => {
	test("there are twelve, each with five to twenty different reference pictures of its own", () => {
		expect(new Set(NAMES).size).toBe(12);
		for (const { name, pictures } of REFERENCE_SETS) {
			const scenes = referenceScenes(name);
			expect(scenes).toHaveLength(pictures);
			expect(pictures).toBeGreaterThanOrEqual(5);
			expect(pictures).toBeLessThanOrEqual(20);
			expect(new Set(scenes.map((scene) => JSON.stringify(scene))).size).toBe(pictures);
			expect(scenes.every((scene) => inSet(scene, name))).toBe(true);
		}
	});

	test.each(REFERENCE_SETS)("$name: its words name all of its subjects and no other", ({ name, words }) => {
		const all = ATTRIBUTE_VALUES.subject.map(String);
		const named = all.filter((subject) => new RegExp(`\\b${subject}s?\\b`).test(words));
		expect(named.sort()).toEqual([...attributeDistribution(name, "subject").keys()].map(String).sort());
	});

	test.each(NAMES)("%s: scenes are in the set, and drawn from its exact distribution", (name) => {
		const scenes = sampleSet(name, 1500, 5);
		for (const scene of scenes) expect(inSet(scene, name), JSON.stringify(scene)).toBe(true);
		expectDrawnFrom(scenes, name);
	});

	test("what is drawn depends on the seed and on nothing else", () => {
		expect(sampleSet("two-moods", 5, 3)).toEqual(sampleSet("two-moods", 9, 3).slice(0, 5));
		expect(sampleSet("two-moods", 5, 3)).not.toEqual(sampleSet("two-moods", 5, 4));
	});

	test("inSet refuses a scene for any attribute that the set does not allow", () => {
		const [robot] = referenceScenes("tipsy-robots");
		expect(inSet(robot!, "tipsy-robots")).toBe(true);
		for (const change of [
			{ subject: "cat" },
			{ style: "flat" },
			{ palette: "ocean" },
			{ count: 2 },
			{ lean: 0 },
		] as const)
			expect(inSet({ ...robot!, ...change } as Scene, "tipsy-robots"), JSON.stringify(change)).toBe(false);
		const [house] = referenceScenes("grey-city");
		expect(inSet({ ...house!, night: false }, "grey-city")).toBe(false);
		const [parish] = referenceScenes("old-parish");
		expect(inSet({ ...parish!, parts: { ...parish!.parts, rose: false } }, "old-parish")).toBe(false);
		expect(inSet({ ...parish!, parts: { ...parish!.parts, height: 0.2 } }, "old-parish")).toBe(false);
		// The two moods do not mix.
		const [mood] = referenceScenes("two-moods");
		const other = mood!.style === "glass" ? "pastel" : "glass";
		expect(inSet({ ...mood!, style: other }, "two-moods")).toBe(false);
	});

	test("an unknown set is refused with the names there are", () => {
		expect(() => sampleSet("tea-party", 1)).toThrow('There is no reference set "tea-party"; there are tipsy-robots, ');
	});
});
