// `dreamdist pretrain` as a user runs it, with threads that draw. Needs the built dist/ and addon.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const repository = fileURLToPath(new URL("..", import.meta.url));
const bin = join(repository, "packages", "cli", "bin", "dreamdist.js");
const isBuilt = existsSync(join(repository, "packages", "models", "dist", "pretrain", "scene-worker.js"));
if (!isBuilt) console.warn("skipped: packages/models/dist is not there");

let folder: string;
const pretrain = (out: string, ...args: string[]) =>
	spawnSync(
		process.execPath,
		[bin, "pretrain", "--recipe", "recipe.json", "--stage", "classifier", "--out", out, ...args],
		{
			cwd: folder,
			encoding: "utf8",
		},
	);
const metricsPath = (out: string) => join(folder, out, "training", "classifier", "metrics.jsonl");
const lines = (out: string): { step: number }[] =>
	existsSync(metricsPath(out))
		? readFileSync(metricsPath(out), "utf8")
				.split("\n")
				.slice(0, -1)
				.map((line) => JSON.parse(line))
		: [];

describe.skipIf(!isBuilt)("dreamdist pretrain", () => {
	beforeAll(() => {
		folder = mkdtempSync(join(tmpdir(), "dd-pretrain-"));
		// The recipe of the repository, with a classifier that trains in seconds.
		const recipe = JSON.parse(readFileSync(join(repository, "packages", "models", "recipes", "mini.json"), "utf8"));
		recipe.networks.classifier = { block: "basic", stem: "small", stem_channels: 4, layers: [1, 1], channels: [4, 8] };
		const settings = {
			steps: 40,
			batch: 8,
			logEvery: 1,
			checkpointEvery: 3,
			evaluateEvery: 100,
			evaluationPictures: 32,
		};
		Object.assign(recipe.stages.classifier, settings);
		writeFileSync(join(folder, "recipe.json"), JSON.stringify(recipe));
	});
	afterAll(() => rmSync(folder, { recursive: true, force: true }));

	it("goes on after kill -9 with the bits of a run that never stopped, however many threads draw", async () => {
		const whole = pretrain("whole", "--json");
		expect(whole.stderr).toBe("");
		const result = JSON.parse(whole.stdout);
		expect(result).toMatchObject({ stage: "classifier", step: 40, stepsNow: 40 });
		expect(result.evaluation.accuracy_style).toBeGreaterThanOrEqual(0);
		expect(lines("whole")).toHaveLength(40);

		const args = ["--recipe", "recipe.json", "--stage", "classifier", "--out", "killed", "--drawing-threads", "2"];
		const child = spawn(process.execPath, [bin, "pretrain", ...args], { cwd: folder, stdio: "ignore" });
		const ended = new Promise((resolve) => child.on("exit", resolve));
		while (lines("killed").length < 10 && child.exitCode === null)
			await new Promise((resolve) => setTimeout(resolve, 20));
		child.kill("SIGKILL");
		await ended;
		const again = pretrain("killed");
		expect([again.status, again.stderr.trim()]).toEqual([
			1,
			expect.stringMatching(/holds a run with a checkpoint of step \d+; go on with it/),
		]);
		expect(pretrain("killed", "--resume", "--steps", "20", "--drawing-threads", "0").status).toBe(0);
		expect(pretrain("killed", "--resume").status).toBe(0);
		const bytes = (out: string) => readFileSync(join(folder, out, "classifier", "model.safetensors"));
		expect(Buffer.compare(bytes("killed"), bytes("whole"))).toBe(0);
		expect(readFileSync(metricsPath("killed"), "utf8")).toBe(readFileSync(metricsPath("whole"), "utf8"));
	});

	it("says in a sentence what is missing", () => {
		const run = (...args: string[]) =>
			spawnSync(process.execPath, [bin, "pretrain", ...args], { cwd: folder, encoding: "utf8" });
		expect(run("--stage", "vae", "--out", "x")).toMatchObject({
			status: 2,
			stderr: expect.stringContaining("--recipe"),
		});
		expect(run("--recipe", "recipe.json", "--stage", "paint", "--out", "x").stderr).toMatch(
			/Allowed choices are classifier, vae, clip, unet/,
		);
		expect(run("--recipe", "none.json", "--stage", "vae", "--out", "x")).toMatchObject({
			status: 1,
			stderr: expect.stringMatching(/none\.json/),
		});
		expect(run("--recipe", "recipe.json", "--stage", "unet", "--out", "x").stderr).toMatch(/text_encoder/);
	});
});
