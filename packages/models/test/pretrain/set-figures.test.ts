import { attributeDistribution, referenceScenes, sampleSet } from "@dreamdist/world";
import { describe, expect, test } from "vitest";
import {
	coverage,
	diversity,
	fixedAttributes,
	fixedMatch,
	leaning,
	rises,
	shareWith,
	subjectStays,
	supportMatch,
} from "../../src/pretrain/measure/set-figures.js";

describe("figures of a set's own scenes", () => {
	const scenes = sampleSet("night-harbour", 40, 5);

	test("are all that they can be", () => {
		expect(fixedAttributes("night-harbour")).toEqual([
			{ attribute: "style", value: "glass" },
			{ attribute: "background", value: "sea" },
			{ attribute: "night", value: true },
		]);
		expect(fixedMatch("night-harbour", scenes)).toBe(1);
		expect(supportMatch("night-harbour", scenes)).toBe(1);
		expect(subjectStays("night-harbour", scenes)).toBe(1);
		expect(coverage("night-harbour", scenes)).toBeGreaterThan(0.9);
		// One scene has one value of each.
		const [first] = scenes;
		expect(coverage("night-harbour", [first!])).toBeLessThan(0.5);
	});

	test("change with what is read", () => {
		const half = scenes.map((scene, i) => (i % 2 ? { ...scene, style: "chalk" as const } : scene));
		expect(fixedMatch("night-harbour", half)).toBeCloseTo((0.5 + 1 + 1) / 3, 12);
		expect(supportMatch("night-harbour", half)).toBeCloseTo(1 - 0.5 / 7, 12);
		expect(shareWith(half, "style", "chalk")).toBe(0.5);
		expect(subjectStays("night-harbour", [{ ...scenes[0]!, subject: "robot" }])).toBe(0);
	});
});

test("a set of two moods shares only that its subjects are alone", () => {
	expect(fixedAttributes("two-moods").map(({ attribute }) => attribute)).toEqual(["count"]);
	expect([...attributeDistribution("two-moods", "count").keys()]).toEqual([1]);
});

test("diversity is the mean distance over pairs", () => {
	// Corners of a right triangle with sides 3, 4, 5.
	expect(diversity([0, 0, 3, 0, 0, 4], 2)).toBeCloseTo(4, 12);
	expect(diversity([1, 2, 1, 2], 2)).toBe(0);
});

test("leaning is near 0 for the first set's scenes, near 1 for the second's", () => {
	const pair = ["night-harbour", "blackboard-zoo"] as const;
	// Palettes that both sets have leave some doubt.
	expect(leaning(...pair, referenceScenes("night-harbour"))).toBeLessThan(0.12);
	expect(leaning(...pair, referenceScenes("blackboard-zoo"))).toBeGreaterThan(0.88);
	const mixed = [...sampleSet("night-harbour", 30, 3), ...sampleSet("blackboard-zoo", 30, 3)];
	expect(leaning(...pair, mixed)).toBeCloseTo(0.5, 1);
	// Neither has a robot in ink on a plain hill by day in autumn: nothing says which.
	const neither = {
		...referenceScenes("white-winter")[0]!,
		subject: "robot",
		style: "ink",
		background: "hills",
	} as const;
	expect(leaning(...pair, [neither])).toBeGreaterThan(0.2);
});

test("a row rises when no value is below the one before", () => {
	expect(rises([0.1, 0.1, 0.4])).toBe(true);
	expect(rises([0.1, 0.4, 0.39])).toBe(false);
	expect(rises([0.1, 0.4, 0.39], 0.02)).toBe(true);
});
