// `eval` on folders of pictures, with a small model's instruments.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Evaluation } from "@dreamdist/eval";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from "vitest";
import { writeInstruments, writePictures } from "../../eval/test/instruments.js";
import { runCli } from "../src/main.js";
import { capturePrinted, printed } from "./printed.js";

let folder: string;
const at = (name: string) => join(folder, name);

beforeAll(async () => {
	folder = mkdtempSync(join(tmpdir(), "dreamdist-cli-eval-"));
	await writeInstruments(at("model"));
	await writePictures(at("real"), 5, 0, 0);
	await writePictures(at("a/out"), 6, 0, 50);
	await writePictures(at("b/out"), 6, 1, 90);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
beforeEach(() => {
	vi.stubEnv("XDG_CACHE_HOME", at("cache"));
	vi.stubEnv("HF_HUB_CACHE", at("hub"));
	capturePrinted();
});
afterEach(() => {
	vi.restoreAllMocks();
	vi.unstubAllEnvs();
});

it("measures folders, names them apart, writes a page and one JSON document", async () => {
	const sets = ["--real", at("real"), "--fake", at("a/out"), at("b/out"), "--instruments", at("model")];
	expect(await runCli(["eval", ...sets, "--metrics", "fid,precision,clip-i", "--out", at("report"), "--json"])).toBe(0);
	const { sets: results, real } = JSON.parse(printed.out) as Evaluation;
	expect(real.pictures).toBe(5);
	expect(new Set(results.map(({ name }) => name)).size).toBe(2);
	expect(results[0]!.metrics.fid!.value).toBeLessThan(results[1]!.metrics.fid!.value);
	expect(results[0]!.metrics.precision!.detail).toEqual({ k: 3 });
	expect(existsSync(at("report/index.html"))).toBe(true);
	expect(printed.err).toBe("");

	printed.out = "";
	expect(await runCli(["eval", ...sets, "--metrics", "fid", "--no-cache"])).toBe(0);
	expect(printed.out).toMatch(/^FID {2}.*\[.*the model's classifier/m);
});

it("names the command that fetches a missing encoder, and an unknown metric", async () => {
	const sets = ["--real", at("real"), "--fake", at("a/out")];
	expect(await runCli(["eval", ...sets, "--metrics", "dino"])).toBe(1);
	expect(printed.err).toContain(
		'The encoder dino-vits16 is not on this machine; fetch it with "pull facebook/dino-vits16".',
	);
	expect(await runCli(["eval", ...sets, "--metrics", "fdi"])).not.toBe(0);
	expect(printed.err).toContain('There is no metric "fdi"; known are fid, kid');
	expect(await runCli(["eval", "--real", at("model"), "--fake", at("a/out")])).toBe(1);
	expect(printed.err).toContain("there are no pictures in");
});
