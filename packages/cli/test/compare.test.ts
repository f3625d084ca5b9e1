// `compare` as a user writes it, on a tiny model, folders of pictures and instruments by formula.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDevice } from "@dreamdist/core";
import { readComparison } from "@dreamdist/eval";
import { initModel } from "@dreamdist/models";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeInstruments, writePictures } from "../../eval/test/instruments.js";
import { worldSet } from "../src/compare/world-sets.js";
import { dd } from "./printed.js";

let folder: string;
const at = (...parts: string[]) => join(folder, ...parts);
beforeAll(async () => {
	folder = mkdtempSync(join(tmpdir(), "dd-compare-"));
	const device = await openDevice("cpu");
	await initModel(at("tiny"), { config: "tiny", seed: 1, device });
	device.dispose();
	await writeInstruments(at("instruments"));
	await writePictures(at("red"), 4, 0, 0);
	writeFileSync(at("red", "set.json"), '{ "noun": "blot", "shortCaption": "a blot", "longCaption": "a large blot" }');
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("dreamdist compare", () => {
	it("compares on a folder, and goes on with what is there when told nothing", async () => {
		const given = ["--model", at("tiny"), "--methods", "short-caption,textual-inversion", "--size", "64"];
		writeFileSync(at("table.json"), '{ "textual-inversion": { "initialWords": "b", "accumulate": 1 } }');
		const first = await dd(
			"compare",
			at("red"),
			...given,
			"--settings",
			at("table.json"),
			"--quick",
			"--pictures",
			"3",
			"--steps",
			"1",
			"--instruments",
			at("instruments"),
			"--out",
			at("c"),
			"--device",
			"cpu",
			"--no-cache",
		);
		expect(first.err).toContain("cell 2 of 2: red, textual-inversion, seed 1");
		expect(first.code).toBe(0);
		expect(first.out).toMatch(/\| Method \| FID ↓ \| CLIP-I ↑ \|/);
		const comparison = await readComparison(at("c"));
		expect(comparison.settings.methods).toMatchObject({ "textual-inversion": { initialWords: "b", steps: 20 } });
		expect(comparison.cells.every(({ state }) => state === "done")).toBe(true);

		const again = await dd("compare", "--out", at("c"), "--device", "cpu", "--json", "--no-cache");
		expect(again.err).toBe("");
		const result = JSON.parse(again.out);
		expect(result).toMatchObject({ done: 2, cells: 2 });
		expect(readFileSync(result.files.table, "utf8")).toBe(readFileSync(at("c", "table.md"), "utf8"));
	}, 120_000);

	it.each<[string, () => string[], string, number]>([
		["a folder that does not say what it shows", () => [at("tiny")], "it says what the set shows", 1],
		["an unknown drawn set", () => ["--sets", "cathedrals"], 'there is no reference set "cathedrals"', 2],
		["an unknown method", () => [at("red"), "--methods", "hypernetwork"], 'there is no method "hypernetwork"', 2],
		["an unknown sampler", () => [at("red"), "--sampler", "leapfrog"], "--sampler leapfrog does not exist", 2],
		["drawn sets beside folders", () => [at("red"), "--sets", "grey-city"], "leave one out", 2],
		[
			"a table that is none",
			() => [at("red"), "--settings", at("red", "set.json")],
			"must map methods to their settings",
			1,
		],
	])("refuses %s", async (_, args, message, code) => {
		const result = await dd("compare", ...args(), "--model", at("tiny"), "--out", at("refused"));
		expect(result.err).toContain(message);
		expect(result.code).toBe(code);
		expect(existsSync(at("refused"))).toBe(false);
	});

	it("says where nothing can be measured before anything is trained", async () => {
		const result = await dd(
			"compare",
			at("red"),
			"--model",
			at("tiny"),
			"--methods",
			"short-caption",
			"--size",
			"64",
			"--encoders",
			at("nowhere"),
			"--out",
			at("blind"),
			"--device",
			"cpu",
		);
		expect(result.code).toBe(1);
		expect(result.err).toContain("nothing can be measured");
		expect(existsSync(at("blind", "cells"))).toBe(false);
	}, 60_000);

	it("draws the practice set, which is none of the twelve", async () => {
		const { references, texts } = await worldSet("practice", at("drawn"));
		expect(references).toHaveLength(12);
		expect(texts.noun).toBe("mushroom");
	}, 60_000);
});
