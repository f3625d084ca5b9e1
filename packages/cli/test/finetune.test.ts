// `train --method` and `generate` of what it learned, as a user writes them, on a tiny model made here.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createImage, openDevice, readImage, readPngRecipe, writePng } from "@dreamdist/core";
import { initModel } from "@dreamdist/models";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dd } from "./printed.js";

let folder: string;
let model: string;
let images: string;

beforeAll(async () => {
	folder = mkdtempSync(join(tmpdir(), "dd-finetune-"));
	const device = await openDevice("cpu");
	model = join(folder, "tiny");
	await initModel(model, { config: "tiny", seed: 1, device });
	device.dispose();
	images = join(folder, "images");
	mkdirSync(images);
	for (let n = 0; n < 2; n++) {
		const image = createImage(70, 64);
		for (let i = 0; i < image.data.length; i++) image.data[i] = (i * (n + 3) * 7) % 256;
		await writePng(join(images, `${n}.png`), image);
	}
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const at = (name: string) => join(folder, name);

const train = (method: string, out: string, ...args: string[]) =>
	dd(
		"train",
		images,
		"--method",
		method,
		"--model",
		model,
		"--out",
		at(out),
		"--size",
		"64",
		"--device",
		"cpu",
		...args,
	);
const generate = (...args: string[]) => dd("generate", ...args, "--steps", "2", "--size", "64", "--device", "cpu");
const lastLine = ({ out }: { out: string }) => JSON.parse(out.trim().split("\n").at(-1)!);

describe("train --method", () => {
	it("textual-inversion tells its plan and steps, goes on, and is painted by its word", async () => {
		const args = [
			"--init-words",
			"a",
			"--placeholder",
			"<thing>",
			"--tokens",
			"2",
			"--batch",
			"1",
			"--accumulate",
			"2",
		];
		const first = await train("textual-inversion", "ti", ...args, "--steps", "1", "--json");
		expect(first.err).toBe("");
		expect(first.code).toBe(0);
		expect(lastLine(first)).toMatchObject({
			event: "result",
			method: "textual-inversion",
			steps: 1,
			prompt: "a photo of a <thing>",
		});
		const events = first.out
			.trim()
			.split("\n")
			.map((line) => JSON.parse(line).event);
		expect(events).toEqual(["plan", "step", "result"]);

		const more = await dd("train", "--resume", at("ti"), "--steps", "2", "--device", "cpu", "--tensorboard");
		expect(more.code).toBe(0);
		expect(more.err).toContain("method    Textual Inversion");
		expect(more.err).toContain("steps     2 to 2");
		expect(
			readFileSync(join(at("ti"), "metrics.jsonl"), "utf8")
				.trim()
				.split("\n"),
		).toHaveLength(2);
		expect(readdirSync(join(at("ti"), "tensorboard"))).toHaveLength(1);
		const again = await dd("train", "--resume", at("ti"), "--device", "cpu");
		expect(again.err).toContain("The run is finished: all 2 steps were taken.");

		const pictures = await generate(at("ti"), "--out", at("ti-pictures"), "--json");
		expect(pictures.err).toBe("");
		const [file] = JSON.parse(pictures.out).files;
		expect(await readPngRecipe(file)).toMatchObject({ prompt: "a photo of a <thing>", learned: [at("ti")], model });
		const other = await generate(
			join(at("ti"), "learned_embeds.safetensors"),
			"--model",
			model,
			"--prompt",
			"a b",
			"--out",
			at("x"),
		);
		const exported = await dd(
			"export",
			at("ti"),
			"--as",
			"embedding",
			"--layout",
			"a1111",
			"--out",
			at("thing.pt"),
			"--json",
		);
		expect(JSON.parse(exported.out)).toMatchObject({ as: "embedding", shape: [2, 64] });
		const pt = await generate(at("thing.pt"), "--model", model, "--prompt", "a thing b", "--out", at("y"), "--json");
		const st = await generate(at("ti"), "--prompt", "a <thing> b", "--out", at("z"), "--json");
		expect((await readImage(JSON.parse(pt.out).files[0])).data).toEqual(
			(await readImage(JSON.parse(st.out).files[0])).data,
		);
		expect(other.err).toContain("The prompt has none of the learned words (<thing>).");
		const without = await generate(join(at("ti"), "learned_embeds.safetensors"), "--model", model, "--out", at("x"));
		expect(without).toMatchObject({ code: 2, err: expect.stringContaining("does not say what shows it") });
	}, 60_000);

	it("dreambooth-lora paints its prior, and generate takes its weights at any strength", async () => {
		mkdirSync(at("class"));
		for (const n of [0, 1]) await writePng(join(at("class"), `${n}.png`), createImage(64, 64));
		const { code, err } = await train(
			"dreambooth-lora",
			"lora",
			"--instance-prompt",
			"a sks",
			"--class-prompt",
			"a",
			"--prior",
			at("class"),
			"--prior-pictures",
			"2",
			"--steps",
			"1",
		);
		expect(err).toContain("2 of the prior");
		expect(code).toBe(0);
		expect(readdirSync(at("class"))).toHaveLength(2);
		const pictures = await generate(
			`${join(at("lora"), "pytorch_lora_weights.safetensors")}:0.5`,
			"--model",
			model,
			"--prompt",
			"a sks",
			"--out",
			at("lora-pictures"),
		);
		expect(pictures.code).toBe(0);
		const resumed = await dd("train", "--resume", at("lora"), "--steps", "2", "--device", "cpu", "--quiet");
		expect(resumed).toMatchObject({ code: 0, err: "" });
	}, 60_000);

	it("short-caption is words, which generate paints with the model it was written for", async () => {
		const { code } = await dd(
			"train",
			"--method",
			"short-caption",
			"--caption",
			"a lighthouse",
			"--model",
			model,
			"--out",
			at("caption"),
			"--device",
			"cpu",
		);
		expect(code).toBe(0);
		const pictures = await generate(at("caption"), "--out", at("caption-pictures"), "--json");
		expect(await readPngRecipe(JSON.parse(pictures.out).files[0])).toMatchObject({ prompt: "a lighthouse", model });
	}, 60_000);

	it("takes a configuration file", async () => {
		writeFileSync(
			at("custom.yaml"),
			`images: ${images}\nmodel: ${model}\nout: ${at("custom")}\nmethod: custom-diffusion\nsteps: 1\nsize: 64\nbatch: 1\ninit-words: k\nzoom: false\n`,
		);
		const { code, err } = await dd("train", "--config", at("custom.yaml"), "--device", "cpu");
		expect(err).toContain("method    Custom Diffusion");
		expect(code).toBe(0);
		expect(existsSync(join(at("custom"), "<new1>.safetensors"))).toBe(true);
		expect(JSON.parse(readFileSync(join(at("custom"), "run.json"), "utf8")).settings).toMatchObject({ zoom: false });
	}, 60_000);

	it.each<[string, string[], string, number]>([
		[
			"settings of another method",
			["--method", "textual-inversion", "--rank", "3"],
			'Textual Inversion has no setting "rank"',
			1,
		],
		["a preset", ["--method", "dreambooth", "--preset", "official"], "--preset official is of dream-distribution", 2],
		["no caption", ["--method", "long-caption"], '"caption"', 1],
		["an unknown method", ["--method", "hypernetwork"], "Allowed choices are dream-distribution, textual-inversion", 2],
	])("refuses %s in one sentence", async (_, args, message, code) => {
		const result = await dd("train", images, "--model", model, "--out", at("refused"), ...args);
		expect(result.err).toContain(message);
		expect(result.code).toBe(code);
		expect(existsSync(at("refused"))).toBe(false);
	});

	it("does not go on with a run of another method, nor mixes kinds of sources", async () => {
		const other = await dd("train", "--resume", at("ti"), "--method", "dreambooth");
		expect(other).toMatchObject({ code: 2, err: expect.stringContaining("holds a run of textual-inversion") });
		const sweep = await generate(at("ti"), "--sweep", "scale=0,1", "--out", at("x"));
		expect(sweep).toMatchObject({ code: 2, err: expect.stringContaining("--sweep is for distributions of prompts") });
		const mixed = await generate(at("ti"), join(folder, "nothing.safetensors"), "--out", at("x"));
		expect(mixed).toMatchObject({ code: 2, err: expect.stringContaining("they can't be mixed") });
	});
});
