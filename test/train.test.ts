// `dreamdist train` and `inspect` as a user runs them, on the tiny model of the shared reference set. Needs the built dist/ and addon.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createImage, readPngRecipe, writePng, writeSafetensors } from "@dreamdist/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const repository = fileURLToPath(new URL("..", import.meta.url));
const bin = join(repository, "packages", "cli", "bin", "dreamdist.js");
const shared = process.env.DD_SHARED ?? join(repository, "..", "shared");
const model = join(shared, "reference", "tiny-sd21", "model");
const missing = [model, join(repository, "packages", "cli", "dist", "main.js")].find((path) => !existsSync(path));
if (missing) console.warn(`skipped: ${missing} is not there`);

let folder: string;
let images: string;

const run = (...args: string[]) => spawnSync(process.execPath, [bin, ...args], { cwd: folder, encoding: "utf8" });
const SMALL = [
	"--size",
	"64",
	"--prompts",
	"3",
	"--tokens",
	"2",
	"--samples",
	"2",
	"--lr",
	"0.01",
	"--checkpoint-every",
	"3",
];
const train = (out: string, ...args: string[]) =>
	run("train", "images", "--model", model, "--out", out, ...SMALL, ...args);

/** What `--json` says at the end. */
const resultOf = ({ stdout }: { stdout: string }) => JSON.parse(stdout.trim().split("\n").at(-1)!);

function lines(out: string): { step: number; loss: number }[] {
	const path = join(folder, out, "metrics.jsonl");
	if (!existsSync(path)) return [];
	return readFileSync(path, "utf8")
		.trim()
		.split("\n")
		.filter((line) => line !== "")
		.map((line) => JSON.parse(line));
}

/** Starts a run and sends it a signal once it has taken so many steps. */
async function interrupt(out: string, steps: number, signal: NodeJS.Signals) {
	const args = [bin, "train", "images", "--model", model, "--out", out, ...SMALL, "--steps", "400"];
	const child = spawn(process.execPath, args, { cwd: folder, stdio: "ignore" });
	const ended = new Promise<number | null>((resolve) => child.on("exit", (code) => resolve(code)));
	while (lines(out).length < steps && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 20));
	child.kill(signal);
	return ended;
}

describe.skipIf(missing !== undefined)("dreamdist train", () => {
	beforeAll(async () => {
		folder = mkdtempSync(join(tmpdir(), "dd-train-"));
		images = join(folder, "images");
		mkdirSync(images);
		for (let n = 0; n < 4; n++) {
			const image = createImage(90, 70);
			for (let i = 0; i < image.data.length; i++) image.data[i] = (i * (n + 3) * 7 + (i >> 5) * 11) % 256;
			await writePng(join(images, `${n}.png`), image);
		}
		writeFileSync(join(images, "corrupt.jpg"), "this is no picture");
	});
	afterAll(() => rmSync(folder, { recursive: true, force: true }));

	it("goes on after kill -9 with the bits of a run that never stopped", async () => {
		const whole = train("whole", "--steps", "14");
		expect(whole.stderr).toContain("corrupt.jpg cannot be decoded as a picture");
		expect(whole.stderr).toContain("pictures  4 at 64×64");
		expect(whole.status).toBe(0);
		expect(lines("whole").map(({ step }) => step)).toEqual(Array.from({ length: 14 }, (_, i) => i + 1));

		expect(await interrupt("killed", 8, "SIGKILL")).toBeNull();
		const taken = lines("killed").length;
		expect(taken).toBeLessThan(400);
		const target = Math.max(14, taken + 2);
		const resumed = run("train", "--resume", "killed", "--steps", String(target), "--json");
		expect(resumed.stderr).toBe("");
		const result = resultOf(resumed);
		expect(result).toMatchObject({ steps: target });
		expect(result.stepsNow).toBeLessThan(target);
		const reference = target === 14 ? "whole" : "longer";
		if (reference === "longer") expect(train("longer", "--steps", String(target)).status).toBe(0);
		const tokens = (out: string, step: number) =>
			readFileSync(join(folder, out, "checkpoints", `step-${String(step).padStart(6, "0")}`, "state.safetensors"));
		expect(tokens("killed", target)).toEqual(tokens(reference, target));
		expect(lines("killed").map(({ loss }) => loss)).toEqual(lines(reference).map(({ loss }) => loss));

		const again = run("train", "--resume", "killed");
		expect(again.status).toBe(0);
		expect(again.stderr).toContain(`The run is finished: all ${target} steps were taken.`);
		const changed = run("train", "--resume", "killed", "--lr", "0.5");
		expect(changed.status).toBe(1);
		expect(changed.stderr).toContain("the settings differ: learningRate (0.01 before, 0.5 now)");
		const occupied = train("killed", "--steps", "2");
		expect(occupied.status).toBe(1);
		expect(occupied.stderr).toMatch(/is not empty; resume the run in it \(--resume\), or choose another folder/);
	}, 240_000);

	it("writes a checkpoint at Ctrl-C and ends with 130", async () => {
		expect(await interrupt("stopped", 4, "SIGINT")).toBe(130);
		const steps = lines("stopped").length;
		expect(readdirSync(join(folder, "stopped", "checkpoints")).at(-1)).toBe(`step-${String(steps).padStart(6, "0")}`);
		expect(JSON.parse(readFileSync(join(folder, "stopped", "run.json"), "utf8"))).toMatchObject({
			status: "interrupted",
			step: steps,
		});
	}, 120_000);

	it("tells a program that follows the plan, every step and the result", () => {
		const { status, stdout, stderr } = train("followed", "--steps", "3", "--json");
		expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
		const events = stdout
			.trim()
			.split("\n")
			.map((line) => JSON.parse(line) as { event: string; step?: number; steps?: number });
		expect(events.map(({ event }) => event)).toEqual(["plan", "step", "step", "step", "result"]);
		expect(events.slice(1, 4).map(({ step }) => step)).toEqual([1, 2, 3]);
		expect(events[0]).toMatchObject({ pictures: 4, startStep: 0, plannedBytes: expect.any(Number) });
		expect(events[4]).toMatchObject({ steps: 3, distribution: join(folder, "followed", "distribution.safetensors") });
	});

	it("shows what was learned", () => {
		const seen = run("inspect", "whole", "--model", model, "--json");
		expect(seen.stderr).toBe("");
		const { inspection, compatibility, run: record, prompts } = JSON.parse(seen.stdout);
		expect(prompts).toBe(3);
		expect(record).toMatchObject({ status: "finished", step: 14, steps: 14, pictures: 4 });
		expect(compatibility).toBe("learned with this text encoder");
		expect(inspection.words).toHaveLength(3);
		expect(inspection.positionStd).toHaveLength(77);
		expect(inspection.positionStd[0]).toBe(0);
		expect(run("inspect", join("whole", "distribution.safetensors")).stdout).toContain(
			"3 prompts of 2 vectors, width 64",
		);
	}, 60_000);

	it("takes its settings from a file, and options win", () => {
		writeFileSync(join(folder, "run.yaml"), "# small\nsteps: 1\nprompts: 2\nprefix: 'a photo of'\nsize: [64, 64]\n");
		const done = run(
			"train",
			"images",
			"--model",
			model,
			"--out",
			"configured",
			"--config",
			"run.yaml",
			"--tokens",
			"1",
			"--prompts",
			"3",
			"--json",
		);
		expect(done.stderr).toBe("");
		const { settings } = JSON.parse(readFileSync(join(folder, "configured", "run.json"), "utf8"));
		expect(settings).toMatchObject({ steps: 1, prompts: 3, vectors: 1, prefix: "a photo of", size: [64, 64] });
		writeFileSync(join(folder, "bad.json"), '{ "promts": 3 }');
		const bad = run("train", "images", "--model", model, "--out", "never", "--config", "bad.json");
		expect(bad.status).toBe(1);
		expect(bad.stderr).toContain('bad.json: there is no setting "promts"; did you mean "prompts"?\n');
	}, 60_000);

	it("learns from drawn pictures with the embedded model where nothing is named", async () => {
		const env = { ...process.env, DD_MINI: model };
		const dd = (...args: string[]) =>
			spawnSync(process.execPath, [bin, ...args], { cwd: folder, encoding: "utf8", env });
		const learned = dd("train", "--set", "breakfast-weather", "--steps", "1", "--size", "64", "--json");
		expect(learned.stderr).toBe("");
		expect(resultOf(learned).run).toBe(join(folder, "runs", "breakfast-weather"));
		const record = JSON.parse(readFileSync(join(folder, "runs", "breakfast-weather", "run.json"), "utf8"));
		expect(record.model.id).toBe("mini");
		expect(record.pictures).toHaveLength(8);
		expect(record.settings).toMatchObject({ prompts: 16, steps: 1, vectors: 6, initialWords: "teacup" });
		const { scene } = (await readPngRecipe(record.pictures[0].path)) as { scene: { subject: string } };
		expect(scene.subject).toBe("teacup");
		// A run that goes on keeps its settings, whatever the preset of its model.
		expect(dd("train", "--resume", "runs/breakfast-weather", "--steps", "2").status).toBe(0);
		expect(dd("generate", "runs/breakfast-weather", "--steps", "1", "--size", "64", "--out", "cups").status).toBe(0);
		rmSync(join(folder, "runs"), { recursive: true });
	}, 60_000);

	it("says in one sentence what is wrong", async () => {
		const refused = (sentence: RegExp, status: number, ...args: string[]) => {
			const { status: code, stderr } = run("train", ...args);
			expect(stderr.trim()).toMatch(sentence);
			expect(stderr.trim().split("\n")).toHaveLength(1);
			expect(code).toBe(status);
		};
		mkdirSync(join(folder, "empty"));
		const at = ["--model", model, "--out", "refused", "--size", "64"];
		refused(/^train needs a run folder for these pictures: --out RUN/, 2, "images", "--model", model);
		refused(/^there is no reference set "tea"; there are tipsy-robots, /, 2, "--set", "tea");
		refused(/^--set two-moods and pictures of your own do not go together/, 2, "images", "--set", "two-moods");
		process.env.DD_MINI = join(folder, "nowhere");
		refused(/^the embedded model mini has no weights here .*nowhere/, 1);
		delete process.env.DD_MINI;
		expect(existsSync(join(folder, "runs"))).toBe(false);
		refused(/there are no pictures in .*empty/, 1, "empty", ...at);
		refused(/cannot read .*nowhere: it does not exist/, 1, "nowhere", ...at);
		refused(/needs 84 positions .*vectors 80.* has 77/, 1, "images", ...at, "--tokens", "80", "--prefix", "a photo");
		refused(
			/size 100×100 does not fit this model, whose sides are multiples of \d+/,
			1,
			"images",
			"--model",
			model,
			"--out",
			"refused",
			"--size",
			"100",
		);
		refused(/unknown option '--stesp'; did you mean --steps\?/, 2, "images", ...at, "--stesp", "4");
		refused(/"samples" must be at least 1/, 1, "images", ...at, "--samples", "0");
		expect(existsSync(join(folder, "refused", "checkpoints"))).toBe(false);
		const wide = join(folder, "wide.safetensors");
		await writeSafetensors(wide, { tokens: { dtype: "F32", shape: [2, 1, 768], data: new Float32Array(1536) } });
		const seen = run("inspect", wide, "--model", model);
		expect(seen.stdout).toContain("does not fit: its width is 768, the model's text encoder has 64");
		const made = run("generate", wide, "--model", model, "--size", "64", "--steps", "1");
		expect(made.status).toBe(1);
		expect(made.stderr).toMatch(/tokens have width 768, but the model's text encoder has width 64/);
		refused(/nothing-here holds no run/, 2, "--resume", "nothing-here");
		refused(
			/cannot make the run folder \/proc\/x\/y/,
			1,
			"images",
			"--model",
			model,
			"--out",
			"/proc/x/y",
			"--size",
			"64",
		);
	}, 120_000);
});
