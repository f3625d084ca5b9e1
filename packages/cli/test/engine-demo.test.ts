import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readImage } from "@dreamdist/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type DemoSettings, runDemo } from "../src/engine-demo/demo.js";
import { PhiloxSource } from "../src/engine-demo/random.js";
import { CLASSES, drawShapes, SIDE } from "../src/engine-demo/shapes.js";

let folder: string;
let notices: string[];

function settings(changes: Partial<DemoSettings> = {}): DemoSettings {
	return {
		device: "cpu",
		folder: join(folder, "run"),
		steps: 400,
		targetLoss: 0.1,
		seed: 1,
		signal: new AbortController().signal,
		notice: (text) => notices.push(text),
		...changes,
	};
}

beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "dreamdist-demo-"));
	notices = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("the demo", () => {
	it("reaches the loss it states, prints its program and plan, and leaves a run folder", async () => {
		const result = await runDemo(settings());
		expect(result.reached).toBe(true);
		expect(result.loss).toBeLessThan(0.1);
		expect(result.accuracy).toBeGreaterThan(0.95);
		expect(notices.join("\n")).toMatch(/demo: \d+ kernel calls; weights .*, arena .*, peak/);
		expect(notices.join("\n")).toContain("conv2d_weight_grad");

		const metrics = readFileSync(join(result.folder, "metrics.jsonl"), "utf8").trim().split("\n");
		expect(metrics).toHaveLength(400);
		expect(JSON.parse(metrics[0]!).loss).toBeGreaterThan(1);
		expect(JSON.parse(readFileSync(join(result.folder, "run.json"), "utf8"))).toEqual({
			command: "demo",
			seed: 1,
			...result,
		});
		expect(readFileSync(join(result.folder, "program.txt"), "utf8")).toContain("adamw");
		expect((await readImage(join(result.folder, "samples", "step-000400.png"))).height).toBeGreaterThan(4 * SIDE);
	});

	it("gives the same losses for the same seed", async () => {
		const first = await runDemo(settings({ steps: 10 }));
		const again = await runDemo(settings({ steps: 10, folder: join(folder, "again") }));
		const other = await runDemo(settings({ steps: 10, seed: 2, folder: join(folder, "other") }));
		expect(first.reached).toBe(false);
		expect(again.loss).toBe(first.loss);
		expect(other.loss).not.toBe(first.loss);
	});

	it("stops when it is interrupted, and leaves no run that looks complete", async () => {
		const controller = new AbortController();
		const notice = (text: string) => void (text.startsWith("step 50:") && controller.abort());
		await expect(runDemo(settings({ signal: controller.signal, notice }))).rejects.toThrow("aborted");
		expect(existsSync(join(folder, "run", "run.json"))).toBe(false);
	});

	it("says why a device is not there", async () => {
		await expect(runDemo(settings({ device: "cuda" }))).rejects.toThrow(/"cuda:0" is not available/);
	});
});

describe("the pictures", () => {
	it("show each class about equally often, inside the frame", () => {
		const { images, labels } = drawShapes(400, new PhiloxSource(3, 0), 0);
		for (const [index] of CLASSES.entries())
			expect(labels.filter((label) => label === index).length).toBeGreaterThan(60);
		for (let i = 0; i < 400; i++) {
			const picture = images.subarray(i * SIDE * SIDE, (i + 1) * SIDE * SIDE);
			expect(Math.max(...picture)).toBe(1);
			// The corners are background.
			for (const corner of [0, SIDE - 1, SIDE * (SIDE - 1), SIDE * SIDE - 1]) expect(picture[corner]).toBeLessThan(0);
		}
	});

	it("are noisy as asked", () => {
		const clean = drawShapes(50, new PhiloxSource(4, 0), 0).images;
		expect(Math.min(...clean)).toBe(-1);
		const noisy = drawShapes(50, new PhiloxSource(4, 0), 0.2).images;
		expect(Math.min(...noisy)).toBeLessThan(-1.4);
	});
});

it("draws the same numbers for a seed, others for another stream, evenly", () => {
	const draw = (seed: number, stream: number) => {
		const source = new PhiloxSource(seed, stream);
		return Array.from({ length: 2000 }, () => source.uniform());
	};
	const numbers = draw(7, 0);
	expect(draw(7, 0)).toEqual(numbers);
	expect(draw(7, 1)).not.toEqual(numbers);
	expect(numbers.every((value) => value >= 0 && value < 1)).toBe(true);
	expect(numbers.reduce((sum, value) => sum + value, 0) / numbers.length).toBeCloseTo(0.5, 1);
});
