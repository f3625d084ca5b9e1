// A whole comparison on a tiny model: interrupted, gone on with, its table against the cells' own numbers.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDevice, readImage } from "@dreamdist/core";
import { initModel, loadPipeline, type Pipeline } from "@dreamdist/models";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
	type CompareOptions,
	type ComparePlan,
	compare,
	leadSentences,
	readCellMetrics,
	readComparison,
	type SetToCompare,
	tableMarkdown,
} from "../src/index.js";
import { writeInstruments, writePictures } from "./instruments.js";

let folder: string;
let pipe: Pipeline;
let sets: SetToCompare[];
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "dreamdist-compare-"));
	const device = await openDevice("cpu");
	await initModel(join(folder, "tiny"), { config: "tiny", seed: 2, device });
	device.dispose();
	pipe = await loadPipeline(join(folder, "tiny"), { device: "cpu" });
	await writeInstruments(join(folder, "instruments"));
	const texts = { noun: "a", shortCaption: "a blot", longCaption: "a large blot on a dark ground" };
	sets = [
		{ name: "red", references: await writePictures(join(folder, "red"), 4, 0, 0), texts },
		{ name: "blue", references: await writePictures(join(folder, "blue"), 5, 2, 50), texts },
	];
}, 60_000);
afterAll(async () => {
	pipe.dispose();
	await rm(folder, { recursive: true });
});

const plan = (): ComparePlan => ({
	model: "tiny",
	sets,
	methods: ["short-caption", "textual-inversion", "dreambooth-lora", "dream-distribution"],
	seeds: [3],
	settings: {
		pictures: 4,
		priorPictures: 2,
		size: [64, 64],
		sampler: null,
		steps: 1,
		guidance: 2,
		methods: {
			"textual-inversion": { initialWords: "{noun}", steps: 1, accumulate: 1 },
			"dreambooth-lora": { instancePrompt: "a sks {noun}", classPrompt: "one {noun}", steps: 1 },
			"dream-distribution": { prompts: 2, samples: 1, steps: 2 },
		},
		encoders: "own",
		instruments: null,
	},
});

const options = (name: string, more: Partial<CompareOptions> = {}): CompareOptions => ({
	folder: join(folder, name),
	pipe,
	plan: plan(),
	measuring: { instruments: join(folder, "instruments") },
	...more,
});

describe("a comparison", () => {
	test("goes on where it was interrupted, and does nothing twice", { timeout: 120_000 }, async () => {
		const controller = new AbortController();
		const begun: string[] = [];
		const interrupted = compare(
			options("c", {
				signal: controller.signal,
				onEvent: (event) => {
					if (event.kind === "cell") begun.push(event.cell.folder);
					if (event.kind === "progress" && event.cell.method === "dreambooth-lora" && event.progress.kind === "paint")
						controller.abort(new Error("enough"));
				},
			}),
		);
		await expect(interrupted).rejects.toThrow("enough");
		const file = await readComparison(join(folder, "c"));
		expect(file.cells.map(({ state }) => state)).toEqual(["done", "done", ...Array(6).fill("planned")]);
		const first = join(folder, "c", file.cells[1]!.folder, "metrics.json");
		const { mtimeMs } = statSync(first);

		const table = await compare(
			options("c", { plan: null, onEvent: (e) => e.kind === "cell" && begun.push(e.cell.folder) }),
		);
		expect(begun).toEqual([...file.cells.slice(0, 3), ...file.cells.slice(2)].map((cell) => cell.folder));
		expect(statSync(first).mtimeMs).toBe(mtimeMs);
		expect(table).toMatchObject({ done: 8, cells: 8 });
		for (const name of ["table.md", "results.json", "figure.png", "index.html"])
			expect(existsSync(join(folder, "c", name))).toBe(true);
		// One prior for the class, whatever the sets and methods.
		expect(readdirSync(join(folder, "c", "prior"))).toEqual(["one-a"]);
		expect(readdirSync(join(folder, "c", "prior", "one-a"))).toHaveLength(2);
		for (const { folder: cell } of file.cells) {
			expect(readdirSync(join(folder, "c", cell, "pictures"))).toHaveLength(4);
			expect(JSON.parse(readFileSync(join(folder, "c", cell, "run", "run.json"), "utf8")).status).toBe("finished");
		}
	});

	test("has the mean and deviation over its sets, and says who leads", async () => {
		const home = join(folder, "c");
		const comparison = await readComparison(home);
		const { comparisonTable } = await import("../src/index.js");
		const table = await comparisonTable(home, comparison);
		expect(table.columns.slice(0, 5).map(({ name }) => name)).toEqual(["fid", "clip-i", "dino", "density", "coverage"]);
		for (const { method, values } of table.rows) {
			const own: number[] = [];
			for (const cell of comparison.cells.filter((each) => each.method === method))
				own.push((await readCellMetrics(home, cell)).metrics.fid!.value);
			const mean = (own[0]! + own[1]!) / 2;
			expect(values.fid!.mean).toBeCloseTo(mean, 10);
			expect(values.fid!.deviation).toBeCloseTo(Math.abs(own[0]! - own[1]!) / Math.SQRT2, 10);
			expect(values.lpips).toBeUndefined();
		}
		const lead = table.leads.find(({ metric }) => metric === "fid")!;
		expect(lead.value).toBe(Math.min(...table.rows.map(({ values }) => values.fid!.mean)));
		const text = tableMarkdown(table);
		expect(text.split("\n").filter((line) => line.startsWith("|"))).toHaveLength(6);
		expect(text).toContain("**");
		expect(leadSentences(table)[0]).toMatch(/^FID: .* leads with/);
	});

	test("paints the same pictures again from the same plan", { timeout: 120_000 }, async () => {
		const one = { ...plan(), sets: [sets[0]!], methods: ["textual-inversion"] as const };
		await compare(options("again", { plan: { ...one, settings: { ...one.settings } } }));
		const at = (name: string) => join(folder, name, "cells", "red", "textual-inversion", "3", "pictures", "0001.png");
		expect((await readImage(at("again"))).data).toEqual((await readImage(at("c"))).data);
	});

	test("is not gone on with as another one, nor begun in an occupied folder", async () => {
		const other = plan();
		const changed = { ...other, settings: { ...other.settings, guidance: 3 } };
		await expect(compare(options("c", { plan: changed }))).rejects.toThrow(/with other settings\.guidance/);
		await expect(compare(options("red"))).rejects.toThrow(/is not empty and holds no comparison/);
		await expect(compare(options("new", { plan: null }))).rejects.toThrow(/holds no comparison to go on with/);
	});

	test("refuses settings before anything is trained", async () => {
		const wrong = plan();
		const settings = { ...wrong.settings, methods: { "textual-inversion": { rank: 3 } } };
		await expect(compare(options("wrong", { plan: { ...wrong, settings } }))).rejects.toThrow(
			/Textual Inversion has no setting "rank"/,
		);
		await expect(
			compare(
				options("few", { plan: { ...wrong, sets: [{ ...sets[0]!, references: sets[0]!.references.slice(0, 2) }] } }),
			),
		).rejects.toThrow(/red has 2 pictures; at least 3/);
	});
});
