import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import {
	BACKGROUND_NAMES,
	BACKGROUNDS,
	type Constraints,
	placements,
	type Scene,
	SUBJECTS,
	type Subject,
	sampleScene,
	sceneToSvg,
} from "../src/index.js";

const scenes = (count: number, constraints?: Constraints): Scene[] =>
	Array.from({ length: count }, (_, i) => sampleScene(100_000 + i, constraints));

const hash = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 16);

describe("sampleScene", () => {
	test("a seed is the same scene, and the same drawing, everywhere", () => {
		const drawn = scenes(500);
		expect(hash(JSON.stringify(drawn.map((scene) => Object.entries(scene).sort())))).toBe("be920d0d7742bbaa");
		expect(hash(drawn.map((scene) => sceneToSvg(scene)).join("\n"))).toBe("ef8a2673646c2dff");
	});

	test("seeds beyond 32 bits and below zero are scenes of their own", () => {
		const texts = [5, -5, 5 + 2 ** 32, 5 + 2 ** 40].map((seed) => JSON.stringify({ ...sampleScene(seed), seed: 0 }));
		expect(new Set(texts).size).toBe(4);
	});

	test("a constraint on one attribute leaves the draws of the others as they were", () => {
		for (let seed = 0; seed < 50; seed++) {
			const { style, ...free } = sampleScene(seed, { style: "ink" });
			const { style: other, ...chalk } = sampleScene(seed, { style: "chalk" });
			expect([style, other]).toEqual(["ink", "chalk"]);
			expect(chalk).toEqual(free);
		}
	});

	test("constraints are a value, values, weights or a range", () => {
		for (const scene of scenes(300, {
			subject: ["cat", "robot"],
			style: { ink: 1, glass: 0 },
			palette: "neon",
			background: ["hills", "plain"],
			night: true,
			count: { 1: 1 },
			lean: { min: 8, max: 12 },
			scale: 1,
			x: [-0.1, 0.1],
			parts: { cat: { ears: "small", fat: { min: 0.5, max: 0.6 } }, robot: { eyes: ["one", "visor"] } },
		})) {
			expect(["cat", "robot"]).toContain(scene.subject);
			expect(scene).toMatchObject({ style: "ink", palette: "neon", count: 1, scale: 1 });
			expect(scene.night).toBe(scene.background === "hills");
			expect(scene.lean).toBeGreaterThanOrEqual(8);
			expect(scene.lean).toBeLessThanOrEqual(12);
			expect(Math.abs(scene.x)).toBe(0.1);
			if (scene.subject === "cat") {
				expect(scene.parts.ears).toBe("small");
				expect(scene.parts.fat).toBeGreaterThanOrEqual(0.5);
				expect(scene.parts.fat).toBeLessThanOrEqual(0.6);
			} else expect(["one", "visor"]).toContain(scene.parts.eyes);
		}
	});

	test("a scene survives JSON", () => {
		for (const scene of scenes(50)) {
			const again = JSON.parse(JSON.stringify(scene)) as Scene;
			expect(again).toEqual(scene);
			expect(sceneToSvg(again)).toBe(sceneToSvg(scene));
		}
	});

	test("what does not exist is refused by name", () => {
		expect(() => sampleScene(1.5)).toThrow("A scene's seed is a whole number, not 1.5.");
		expect(() => sampleScene(1, { subject: "dragon" as "cat" })).toThrow(
			'There is no subject "dragon"; there are cathedral,',
		);
		expect(() => sampleScene(1, { style: [] })).toThrow("The constraint on style allows no value.");
		expect(() => sampleScene(1, { palette: { neon: 0 } })).toThrow(
			"The weights of palette must be positive numbers: 0.",
		);
		expect(() => sampleScene(1, { subject: "cat", parts: { cat: { wings: "two" } } })).toThrow(
			'A cat has no part "wings"; it has ears, tail, coat, eyes, fat.',
		);
	});
});

describe("the drawing", () => {
	test("has no undefined or non-finite number, for every subject in every style", () => {
		for (const scene of scenes(1200)) expect(sceneToSvg(scene)).not.toMatch(/undefined|NaN|Infinity|null/);
	});

	test("subjects stay within the picture", () => {
		for (const scene of scenes(1500, { count: 1 })) {
			const [place] = placements(scene);
			// Boxes reach 50 units from the centre; nearly all of that is empty at the corners.
			expect(place!.x).toBeGreaterThan(12);
			expect(place!.x).toBeLessThan(52);
			expect(place!.y).toBeGreaterThan(18);
			expect(place!.y).toBeLessThan(48);
			expect(place!.scale * 92).toBeLessThan(66);
		}
	});

	test("shows as many copies as the scene counts", () => {
		for (const count of [1, 2, 3] as const)
			for (const scene of scenes(20, { count, style: "flat" })) expect(placements(scene)).toHaveLength(count);
	});

	test("mirroring shows exactly where left and right differ", () => {
		for (const [name, subject] of Object.entries(SUBJECTS) as [keyof typeof SUBJECTS, Subject][]) {
			const scene = sampleScene(4, { subject: name, count: 1, style: "flat" });
			const [left, right] = [true, false].map((mirror) => sceneToSvg({ ...scene, mirror }));
			expect(left !== right, name).toBe(subject.facing);
		}
	});

	test("night changes exactly the backgrounds that have both times", () => {
		for (const background of BACKGROUND_NAMES) {
			const { night } = BACKGROUNDS[background];
			const [dark, bright] = [true, false].map((time) => sampleScene(9, { background, night: time, style: "flat" }));
			expect(dark!.night !== bright!.night, background).toBe(night > 0 && night < 1);
			expect(sceneToSvg(dark!) !== sceneToSvg(bright!), background).toBe(night > 0 && night < 1);
		}
	});
});
