import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type ComparisonFile, plannedCells, readComparison, writeComparison } from "../src/compare/comparison-file.js";

let folder: string;
beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "comparison-"));
});
afterEach(() => rm(folder, { recursive: true }));

const sets: ComparisonFile["sets"] = [
	{ name: "night-harbour", references: ["references/night-harbour/1.png"] },
	{ name: "glass-birds", references: ["references/glass-birds/1.png"] },
];
const methods: ComparisonFile["methods"] = [
	{ name: "textual-inversion", label: "Textual Inversion" },
	{ name: "dream-distribution", label: "DreamDistribution" },
];
const comparison = (): ComparisonFile => ({
	format: "dreamdist.comparison",
	version: 1,
	model: "mini",
	settings: { pictures: 40 },
	sets,
	methods,
	seeds: [1, 2],
	cells: plannedCells(sets, methods, [1, 2]),
});

describe("comparison.json", () => {
	test("every set with every method and seed is a cell, and comes back as it was written", async () => {
		const written = comparison();
		expect(written.cells).toHaveLength(8);
		expect(written.cells[1]).toEqual({
			set: "night-harbour",
			method: "dream-distribution",
			seed: 1,
			folder: "cells/night-harbour/dream-distribution/1",
			state: "planned",
		});
		written.cells[3]!.state = "done";
		await writeComparison(folder, written);
		expect(await readComparison(folder)).toEqual(written);
	});

	test.each<[string, (file: ComparisonFile) => unknown, RegExp]>([
		[
			"a name that leaves its folder",
			(file) => ({ ...file, methods: [{ name: "../x", label: "x" }] }),
			/methods\.0\.name/,
		],
		[
			"a reference outside",
			(file) => ({ ...file, sets: [{ name: "a", references: ["../../etc/passwd"] }] }),
			/sets\.0\.references\.0.*below the comparison's folder/,
		],
		["a set twice", (file) => ({ ...file, sets: [sets[0], sets[0]] }), /the set night-harbour is there twice/],
		["a missing cell", (file) => ({ ...file, cells: file.cells.slice(1) }), /textual-inversion\/1 is missing/],
		["a cell elsewhere", (file) => ({ ...file, cells: file.cells.map((c) => ({ ...c, folder: "x" })) }), /the cell x/],
		["another version", (file) => ({ ...file, version: 2 }), /version/],
		["a key too many", (file) => ({ ...file, extra: 1 }), /extra/],
	])("refuses %s", async (_, change, message) => {
		await writeFile(join(folder, "comparison.json"), JSON.stringify(change(comparison())));
		await expect(readComparison(folder)).rejects.toThrow(message);
	});

	test("says where there is none, and what is no JSON", async () => {
		await expect(readComparison(folder)).rejects.toThrow(/read the comparison.*comparison\.json|comparison\.json/);
		await writeFile(join(folder, "comparison.json"), "{");
		await expect(readComparison(folder)).rejects.toThrow(/is no comparison: it is not JSON/);
	});

	test("is not written where cells and lists do not agree", async () => {
		await expect(writeComparison(folder, { ...comparison(), seeds: [1] })).rejects.toThrow(/is not written/);
	});
});
