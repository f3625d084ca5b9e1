import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FittedDistribution, PromptDistribution } from "@dreamdist/core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from "vitest";
import type { DistributionReport } from "../src/inspect/distribution.js";
import type { ModelReport } from "../src/inspect/model.js";
import { runCli } from "../src/main.js";
import { capturePrinted, printed } from "./printed.js";

let folder: string;
let model: string;
let parameters: Record<string, number>;
const at = (name: string) => join(folder, name);

beforeAll(async () => {
	folder = mkdtempSync(join(tmpdir(), "dreamdist-inspect-"));
	model = at("model");
	capturePrinted();
	await runCli(["init", model, "--config", "tiny", "--seed", "1", "--json"]);
	parameters = (JSON.parse(printed.out) as { parameters: Record<string, number> }).parameters;
	vi.restoreAllMocks();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
beforeEach(() => {
	vi.stubEnv("DD_NUM_THREADS", "2");
	capturePrinted();
});
afterEach(() => {
	vi.restoreAllMocks();
	vi.unstubAllEnvs();
});

async function report<T>(...args: string[]): Promise<T> {
	printed.out = "";
	expect(await runCli(["inspect", ...args, "--json"])).toBe(0);
	return JSON.parse(printed.out) as T;
}

function save(name: string, width: number): Promise<void> {
	return PromptDistribution.of({
		tokens: Float32Array.from({ length: 6 * width }, (_, i) => Math.sin(i * i) / 50),
		shape: [1, 3, 2, width],
		classes: null,
		words: { prefix: "", suffix: "", classPosition: "end" },
		baseModel: null,
		settings: {},
	}).save(at(name));
}

it("says what a model is", async () => {
	const one = await report<ModelReport>(model);
	expect(one).toMatchObject({ kind: "model", path: model, layout: "diffusers folder", trainTimesteps: 1000 });
	expect(Object.keys(one.networks)).toEqual(["text_encoder", "unet", "vae"]);
	for (const [name, { parameters: own, dtypes, bytes }] of Object.entries(one.networks)) {
		expect(own).toBe(parameters[name]);
		expect(dtypes).toEqual({ f16: own });
		expect(bytes).toBe(2 * own);
	}
	expect(one.parameters).toBe(Object.values(parameters).reduce((a, b) => a + b));
	expect(one.bytesOnDisk).toBeGreaterThan(2 * one.parameters);
	expect(one.hash).toMatch(/^[0-9a-f]{64}$/);
	printed.out = "";
	expect(await runCli(["inspect", model])).toBe(0);
	expect(printed.out.replace(/ +/g, " ")).toContain(
		` unet ${one.networks.unet!.parameters.toLocaleString("en-US")} parameters`,
	);
	expect(await runCli(["inspect", model, "--class", "dog"])).toBe(2);
	expect(printed.err).toContain("is a model, so --class dog does not apply");
});

it("looks at a distribution through a model that fits, and says of another that it does not", async () => {
	const { width } = (await report<ModelReport>(model)).textEncoder;
	await save("fits.safetensors", width);
	const alone = await report<DistributionReport>(at("fits.safetensors"));
	expect(alone).toMatchObject({ kind: "distribution", prompts: 3, vectors: 2, compatibility: null, inspection: null });
	const one = await report<DistributionReport>(at("fits.safetensors"), "--model", model);
	expect(one.compatibility).toBe("it does not say which model it was learned with; its width fits");
	const { words, meanWords, cosines, positionStd, spread, effectiveSpread } = one.inspection!;
	expect(words!.map((list) => list.length)).toEqual([2, 2, 2]);
	for (const { word, distance } of [...words!.flat(), ...meanWords!]) {
		expect(word).not.toBe("");
		expect(distance).toBeGreaterThan(0);
	}
	expect(cosines!.map((row, k) => row[k])).toEqual([1, 1, 1].map((one) => expect.closeTo(one, 5)));
	expect(positionStd![0]).toBe(0);
	expect(effectiveSpread).toBeGreaterThan(spread!);
	await save("wide.safetensors", width + 1);
	const other = await report<DistributionReport>(at("wide.safetensors"), "--model", model);
	expect(other.compatibility).toBe(`does not fit: its width is ${width + 1}, the model's text encoder has ${width}`);
});

it("says of fitted features where they vary", async () => {
	await FittedDistribution.of({
		mean: new Float32Array(6),
		std: Float32Array.from([0, 0, 0, 1, 2, 3]),
		shape: [1, 2, 3],
		classes: null,
		baseModel: null,
		settings: {},
	}).save(at("features.safetensors"));
	const one = await report<DistributionReport>(at("features.safetensors"));
	expect(one).toMatchObject({ kind: "features", prompts: null, width: 3 });
	expect(one.inspection).toEqual({ positionStd: [0, 2], spread: 1, effectiveSpread: 2 });
});

it("refuses what is none of these", async () => {
	mkdirSync(at("empty"));
	expect(await runCli(["inspect", at("empty")])).toBe(1);
	expect(printed.err).toContain(`${at("empty")} holds neither a model, nor a run, nor a distribution.`);
	writeFileSync(at("text.safetensors"), "hello, this is no header");
	expect(await runCli(["inspect", at("text.safetensors")])).toBe(1);
	expect(printed.err).toContain("is not a valid safetensors file");
	expect(await runCli(["inspect", at("nothing.safetensors")])).toBe(1);
	expect(printed.err).toContain("does not exist");
});
