// Whole evaluations with a small model's instruments.
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Device, openDevice } from "@dreamdist/core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type EvaluateEvent, evaluate, FeatureCache, type PictureFiles, writeEvaluationPage } from "../src/index.js";
import { writeInstruments, writePictures } from "./instruments.js";

let folder: string;
let instruments: string;
let device: Device;
let real: PictureFiles;
let alike: PictureFiles;
let unlike: PictureFiles;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "dreamdist-eval-"));
	device = await openDevice("cpu");
	instruments = join(folder, "model");
	await writeInstruments(instruments);
	real = { name: "real", files: await writePictures(join(folder, "real"), 9, 0, 0) };
	alike = { name: "alike", files: await writePictures(join(folder, "alike"), 12, 0, 100) };
	unlike = { name: "un<b>like", files: await writePictures(join(folder, "unlike"), 12, 2, 200) };
});
afterAll(async () => {
	device.dispose();
	await rm(folder, { recursive: true });
});

describe("an evaluation", () => {
	test("prefers pictures of the references' kind in every distance, and says what it can't measure", async () => {
		const { evaluation, likenesses } = await evaluate({ device, real, sets: [alike, unlike], instruments });
		const [a, b] = evaluation.sets.map(({ metrics }) => metrics);
		for (const metric of ["fid", "kid", "cmmd"] as const) expect(a![metric]!.value).toBeLessThan(b![metric]!.value);
		expect(a!["clip-i"]!.value).toBeGreaterThan(b!["clip-i"]!.value);
		for (const metric of ["precision", "recall", "density", "coverage"] as const)
			expect(a![metric]!.value).toBeGreaterThanOrEqual(b![metric]!.value);
		for (const each of Object.values(a!))
			if (each.interval) {
				expect(each.interval[0]).toBeLessThanOrEqual(each.value + 1e-9);
				expect(each.interval[1]).toBeGreaterThanOrEqual(each.value - 1e-9);
			}
		expect(a!["clip-t"]!.value).toBeGreaterThan(-1);
		expect(evaluation.unavailable.map(({ metric }) => metric).sort()).toEqual(["fd-dinov2", "lpips"]);
		expect(likenesses![0]!.likeness.nearestIndex).toHaveLength(12);
	});

	test("gives the same numbers again from the cache, and others when a file was written to", async () => {
		const cache = new FeatureCache(join(folder, "cache"));
		const made: string[] = [];
		const onProgress = (event: EvaluateEvent) => {
			if (event.kind === "features" && event.done === event.total) made.push(event.set);
		};
		const options = { device, real, sets: [alike], metrics: ["fid", "vendi"] as const, instruments, cache, onProgress };
		const first = await evaluate(options);
		expect(made).toEqual(["real", "alike"]);
		expect(await evaluate(options)).toEqual(first);
		expect(made).toHaveLength(2);
		const [file] = alike.files;
		await utimes(file!, 1, 1);
		expect((await evaluate(options)).evaluation).toEqual(first.evaluation);
		expect(made).toEqual(["real", "alike", "alike"]);
	});

	test("does not depend on the batch that a picture is in", async () => {
		const one = { name: "one", files: alike.files.slice(0, 9) };
		const shifted = { name: "shifted", files: [...alike.files.slice(1, 9), alike.files[0]!] };
		const { evaluation } = await evaluate({ device, real, sets: [one, shifted], metrics: ["fid"], instruments });
		const [a, b] = evaluation.sets.map(({ metrics }) => metrics.fid!.value);
		expect(a! / b!).toBeCloseTo(1, 6);
	});

	test("says which k it used with 5 references, and needs three for any", async () => {
		const few = { name: "few", files: real.files.slice(0, 5) };
		const options = { device, sets: [alike], metrics: ["precision", "fid"] as const, instruments };
		const { evaluation } = await evaluate({ ...options, real: few });
		expect(evaluation.sets[0]!.metrics.precision!.detail).toEqual({ k: 3 });
		expect(evaluation.notes.join(" ")).toContain("k = 3 neighbours");
		expect(evaluation.notes.join(" ")).toContain("so few pictures (5 real)");
		const two = await evaluate({ ...options, real: { name: "two", files: real.files.slice(0, 2) } });
		expect(two.evaluation.sets[0]!.metrics.precision).toBeUndefined();
		expect(two.evaluation.notes).toContain(
			"Not measured for alike, which has 12 pictures to 2 real ones: Precision, for which at least 3 real and 3 generated pictures are needed.",
		);
		const single = await evaluate({
			...options,
			metrics: ["clip-i"],
			real: { name: "1", files: real.files.slice(0, 1) },
		});
		expect(single.evaluation.sets[0]!.metrics["clip-i"]!.value).toBeGreaterThan(0);
		const one = { name: "one", files: alike.files.slice(0, 1) };
		const lonely = await evaluate({ ...options, real: few, sets: [one], metrics: ["clip-i", "fid"] });
		expect(lonely.evaluation.sets[0]!.metrics).toEqual({ "clip-i": expect.objectContaining({ interval: null }) });
		await expect(evaluate({ ...options, real: few, sets: [one], metrics: ["fid"] })).rejects.toThrow(
			/^Not measured for one, which has 1 pictures to 5 real ones: FID, /,
		);
	});

	test("puts no end of a distance's interval below 0, also for a set beside itself", async () => {
		const { evaluation } = await evaluate({ device, real, sets: [real], metrics: ["fid", "cmmd"], instruments });
		for (const { value, interval } of Object.values(evaluation.sets[0]!.metrics)) {
			expect(value).toBeGreaterThanOrEqual(0);
			expect(value).toBeLessThan(1e-6);
			expect(interval![0]).toBeGreaterThanOrEqual(0);
		}
	});

	test("refuses a metric that was named and can't be had", async () => {
		const options = { device, real, sets: [alike] };
		await expect(evaluate({ ...options, metrics: ["fd-dinov2"], instruments })).rejects.toThrow(
			/fd-dinov2 has no counterpart/,
		);
		const encoders = join(folder, "none");
		process.env.HF_HUB_CACHE = encoders;
		process.env.TORCH_HOME = encoders;
		await expect(evaluate({ ...options, metrics: ["fid"], encoders })).rejects.toThrow(
			'fetch it with "pull inception"',
		);
		await expect(evaluate({ ...options, encoders })).rejects.toThrow(
			/nothing can be measured: .*pull inception.*pull lpips-alex.*--instruments mini/,
		);
		delete process.env.HF_HUB_CACHE;
		delete process.env.TORCH_HOME;
		const broken = { name: "broken", files: [join(folder, "model/classifier/config.json")] };
		await expect(evaluate({ ...options, sets: [broken], metrics: ["fid"], instruments })).rejects.toThrow(
			/config\.json/,
		);
	});

	test("stops when asked", async () => {
		const stop = AbortSignal.abort(new Error("enough"));
		await expect(evaluate({ device, real, sets: [alike], instruments, signal: stop })).rejects.toThrow("enough");
	});

	test("makes a page of itself that names nothing outside its folder", async () => {
		const sets = [alike, unlike];
		const result = await evaluate({ device, real, sets, instruments });
		const out = join(folder, "report");
		await mkdir(out);
		await writeEvaluationPage(out, result, real, sets);
		const html = readFileSync(join(out, "index.html"), "utf8");
		expect(html).toContain("un&#60;b&#62;like");
		expect(html).not.toContain("<b>like");
		const sources = [...html.matchAll(/src="([^"]+)"/g)].map(([, source]) => source!);
		expect(sources.length).toBeGreaterThan(40);
		for (const source of sources) expect(existsSync(join(out, source)), source).toBe(true);
		expect((await readdir(join(out, "pictures"))).length).toBeLessThanOrEqual(33);
		expect(JSON.parse(readFileSync(join(out, "evaluation.json"), "utf8"))).toEqual(result.evaluation);
	});
});
