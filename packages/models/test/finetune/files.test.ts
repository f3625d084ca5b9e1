// What methods write, read again; and files in the layouts of the public tools, made here by hand.
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
	contentsOf,
	type FrozenModel,
	generate,
	openSafetensors,
	PromptEncoder,
	readAnyRunRecord,
	readImage,
	TensorToSave,
	writeSafetensors,
	writeTorch,
} from "@dreamdist/core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { liveModel } from "../../src/finetune/model-change.js";
import { type FinetuneMethod, findTuned, finetune, loadPipeline, openTuned, writeCaptionRun } from "../../src/index.js";
import { SIZE, type TuningFixture, tuningFixture } from "./support.js";

let fixture: TuningFixture;
beforeAll(async () => {
	fixture = await tuningFixture();
});
afterAll(() => fixture.remove());

const settings = {
	size: [SIZE, SIZE] as [number, number],
	steps: 2,
	batch: 1,
	accumulate: 1,
	learningRate: 1e-2,
	seed: 2,
};

/** A denoiser's prediction for a prompt: what a change of any weight shows in. */
async function prediction(model: FrozenModel, prompt: string): Promise<Float32Array> {
	const encoder = new PromptEncoder(model.device, model.textEncoder);
	const { length, width } = model.textEncoder;
	const side = SIZE / model.autoencoder.factor;
	const program = await model.device.compile((graph) => ({
		out: model.denoiser.predict(
			graph.input("latents", [1, side, side, model.denoiser.latentChannels]),
			graph.input("timesteps", [1]),
			graph.input("context", [1, length, width]),
		),
	}));
	const latents = Float32Array.from({ length: side * side * model.denoiser.latentChannels }, (_, i) => Math.sin(i));
	const context = await encoder.encodeText(prompt);
	const { out } = await program.run({ latents, timesteps: [400], context });
	program.dispose();
	encoder.dispose();
	return Float32Array.from(out);
}

function relativeDifference(a: Float32Array, b: Float32Array): number {
	let [difference, size] = [0, 0];
	a.forEach((x, i) => {
		difference += (x - b[i]!) ** 2;
		size += x * x;
	});
	return Math.sqrt(difference / size);
}

async function train(method: FinetuneMethod, out: string, given: object, steps = settings.steps) {
	const run = finetune(fixture.pipe, method, fixture.images, { ...settings, steps, ...given } as never, {
		out: join(fixture.folder, out),
		priorFolder: fixture.prior,
		checkpointEvery: 1,
		keep: 0,
	});
	return run.result();
}

const METHODS: [FinetuneMethod, object][] = [
	["textual-inversion", { vectors: 2, initialWords: "a", placeholder: "<it>" }],
	["dreambooth", { instancePrompt: "a sks", classPrompt: "a", priorPictures: 3, trainTextEncoder: true }],
	["dreambooth-lora", { instancePrompt: "a sks", trainTextEncoder: true }],
	["custom-diffusion", { initialWords: "k", instancePrompt: "a <new1> c", classPrompt: "c", priorPictures: 2 }],
];

describe.each(METHODS)("%s", (method, given) => {
	const out = `run-${method}`;

	test("is in its files what it was when training ended", { timeout: 60_000 }, async () => {
		const { prompt, files, steps } = await train(method, out, given);
		expect(steps).toBe(2);
		const folder = join(fixture.folder, out);
		for (const file of files) expect(existsSync(join(folder, file))).toBe(true);
		const record = await readAnyRunRecord(join(folder, "run.json"));
		expect(record).toMatchObject({ method, status: "finished", step: 2 });
		expect(readFileSync(join(folder, "metrics.jsonl"), "utf8").trim().split("\n")).toHaveLength(2);
		expect(readFileSync(join(folder, "index.html"), "utf8")).toContain("<svg");
		const source = (await findTuned(folder))!;
		expect(source).toMatchObject({ method, prompt, model: fixture.model });

		// The last checkpoint's numbers in the networks by hand, against the files.
		const { makeMethod } = await import("../../src/finetune/methods.js");
		const tuning = makeMethod(method, fixture.pipe, record!.settings as never);
		const state = await openSafetensors(join(folder, "checkpoints", "step-000002", "state.safetensors"));
		const parts = new Map();
		for (const { name, shape } of tuning.parts)
			parts.set(name, await fixture.pipe.device.tensor(shape, { name, data: await state.readF32(name) }));
		await state.close();
		const expected = await prediction(liveModel(fixture.pipe, tuning.change(parts)), prompt);
		for (const tensor of parts.values()) tensor.dispose();
		const words = method === "textual-inversion" || method === "custom-diffusion";
		const before = words ? null : await prediction(fixture.pipe, prompt);
		if (source.folder !== null) {
			const pipe = await loadPipeline(source.folder, { device: "cpu" });
			expect(relativeDifference(expected, await prediction(pipe, prompt))).toBeLessThan(1e-5);
			pipe.dispose();
		} else {
			const tuned = await openTuned(fixture.pipe, source.files);
			expect(relativeDifference(expected, await prediction(tuned, prompt))).toBeLessThan(1e-5);
			// Samplers take it as any other model.
			for await (const { image } of generate(tuned, prompt, { size: [SIZE, SIZE], steps: 2 }))
				expect(image.width).toBe(SIZE);
			tuned.dispose();
		}
		if (before) expect(relativeDifference(expected, before)).toBeGreaterThan(1e-3);
	});

	test("goes on from a checkpoint with the bits of a run that never stopped", { timeout: 60_000 }, async () => {
		const stopped = `${out}-stopped`;
		const controller = new AbortController();
		const options = { priorFolder: fixture.prior, checkpointEvery: 1, keep: 0 };
		const place = { out: join(fixture.folder, stopped), ...options };
		const all = { ...settings, ...given } as never;
		const first = finetune(fixture.pipe, method, fixture.images, all, { ...place, signal: controller.signal });
		await expect(async () => {
			for await (const { step } of first) if (step === 1) controller.abort();
		}).rejects.toThrow(/abort/i);
		await expect(findTuned(join(fixture.folder, stopped))).rejects.toThrow(/has not finished; go on with it/);
		await expect(
			finetune(fixture.pipe, method, fixture.images, { ...settings, ...given, learningRate: 1 } as never, {
				...place,
				resume: true,
			}).result(),
		).rejects.toThrow("the settings differ: learningRate (0.01 before, 1 now)");
		const { last } = await finetune(fixture.pipe, method, fixture.images, all, { ...place, resume: true }).result();
		expect(last?.step).toBe(2);
		const bytes = (name: string) =>
			readFileSync(join(fixture.folder, name, "checkpoints", "step-000002", "state.safetensors"));
		expect(bytes(stopped).equals(bytes(out))).toBe(true);
	});
});

describe("files of the public tools", () => {
	test("LoRA under the names of diffusers, PEFT, old processors and kohya is the same change", {
		timeout: 60_000,
	}, async () => {
		const run = join(fixture.folder, "run-dreambooth-lora", "pytorch_lora_weights.safetensors");
		const file = await openSafetensors(run);
		const names = [...file.tensors.keys()];
		expect(names).toContain("unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_out.0.lora.down.weight");
		expect(names).toContain("text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_linear_layer.up.weight");
		const forms: Record<string, (name: string) => string> = {
			peft: (name) =>
				name.replace(/\.lora(_linear_layer)?\.down\./, ".lora_A.").replace(/\.lora(_linear_layer)?\.up\./, ".lora_B."),
			processors: (name) =>
				name.startsWith("unet")
					? name.replace(/\.to_(q|k|v|out)(\.0)?\.lora\.(down|up)\./, ".processor.to_$1_lora.$3.")
					: name,
			kohya: (name) => {
				const [, network, module, factor] =
					/^(unet|text_encoder)\.(.*)\.lora(?:_linear_layer)?\.(down|up)\.weight$/.exec(name)!;
				return `lora_${network === "unet" ? "unet" : "te"}_${module!.replaceAll(".", "_")}.lora_${factor}.weight`;
			},
		};
		const expected = await (async () => {
			const tuned = await openTuned(fixture.pipe, [run]);
			const out = await prediction(tuned, "a sks");
			tuned.dispose();
			return out;
		})();
		for (const [form, rename] of Object.entries(forms)) {
			const tensors: Record<string, { dtype: "F32"; shape: readonly number[]; data: Float32Array }> = {};
			for (const [name, { shape }] of file.tensors)
				tensors[rename(name)] = { dtype: "F32", shape, data: await file.readF32(name) };
			const rank = 4;
			if (form === "kohya")
				for (const name of Object.keys(tensors))
					if (name.includes("lora_down"))
						tensors[name.replace("lora_down.weight", "alpha")] = {
							dtype: "F32",
							shape: [],
							data: Float32Array.of(rank),
						};
			const path = join(fixture.folder, `${form}.safetensors`);
			await writeSafetensors(path, tensors);
			expect(await findTuned(path)).toMatchObject({ method: null, prompt: null, files: [path] });
			const tuned = await openTuned(fixture.pipe, [path]);
			expect(relativeDifference(expected, await prediction(tuned, "a sks")), form).toBeLessThan(1e-6);
			tuned.dispose();
			// Half of the change is half of it.
			if (form !== "kohya") continue;
			const half = await openTuned(fixture.pipe, [path], 0.5);
			expect(relativeDifference(expected, await prediction(half, "a sks"))).toBeGreaterThan(1e-3);
			half.dispose();
		}
		await file.close();
	});

	test("embeddings of diffusers (.bin), A1111 (.pt) and kohya are called as each says", {
		timeout: 30_000,
	}, async () => {
		const { width } = fixture.pipe.textEncoder;
		const vectors = Float32Array.from({ length: 2 * width }, (_, i) => Math.sin(i) / 5);
		const at = (name: string) => join(fixture.folder, name);
		await writeTorch(at("learned_embeds.bin"), { "<cat-toy>": new TensorToSave([2, width], vectors) });
		await writeTorch(at("toy.pt"), {
			string_to_token: { "*": 265 },
			string_to_param: { "*": new TensorToSave([2, width], vectors) },
			name: "x",
			step: 1,
		});
		await writeSafetensors(at("bauble.safetensors"), {
			emb_params: { dtype: "F32", shape: [2, width], data: vectors },
		});
		const features: Float32Array[] = [];
		for (const [name, word] of [
			["learned_embeds.bin", "<cat-toy>"],
			["toy.pt", "toy"],
			["bauble.safetensors", "bauble"],
		] as const) {
			const source = (await findTuned(at(name)))!;
			const tuned = await openTuned(fixture.pipe, source.files);
			expect(tuned.words).toEqual([word]);
			const { tokenizer } = tuned.textEncoder;
			expect(tokenizer.tokenize(`a ${word} b`)).toHaveLength(tokenizer.tokenize("a b").length + 2);
			expect(tokenizer.tokenize(`a ${word.replace(/>?$/, "s$&")}`)).toEqual(
				fixture.pipe.textEncoder.tokenizer.tokenize(`a ${word.replace(/>?$/, "s$&")}`),
			);
			expect(tokenizer.decode(tokenizer.encode(`a ${word} b`).ids)).toContain(word);
			const encoder = new PromptEncoder(tuned.device, tuned.textEncoder);
			features.push(await encoder.encodeText(`a ${word} b`));
			encoder.dispose();
			tuned.dispose();
		}
		expect(features[1]).toEqual(features[0]);
		expect(features[2]).toEqual(features[0]);
	});

	test("Custom Diffusion's .bin files in a folder, with a word", { timeout: 30_000 }, async () => {
		const run = join(fixture.folder, "run-custom-diffusion");
		const folder = join(fixture.folder, "theirs");
		mkdirSync(folder);
		for (const name of ["pytorch_custom_diffusion_weights", "<new1>"]) {
			const file = await openSafetensors(join(run, `${name}.safetensors`));
			if (name !== "<new1>")
				expect([...file.tensors.keys()]).toContain(
					"down_blocks.0.attentions.0.transformer_blocks.0.attn2.processor.to_k_custom_diffusion.weight",
				);
			else expect(file.tensors.get("<new1>")!.shape).toEqual([fixture.pipe.textEncoder.width]);
			const tensors: Record<string, TensorToSave> = {};
			for (const [key, { shape }] of file.tensors) tensors[key] = new TensorToSave([...shape], await file.readF32(key));
			await writeTorch(join(folder, `${name}.bin`), tensors);
			await file.close();
		}
		const [ours, theirs] = [(await findTuned(run))!, (await findTuned(folder))!];
		expect(theirs.files).toHaveLength(2);
		const predictions: Float32Array[] = [];
		for (const { files } of [ours, theirs]) {
			const tuned = await openTuned(fixture.pipe, files);
			predictions.push(await prediction(tuned, "a <new1> c"));
			tuned.dispose();
		}
		expect(predictions[1]).toEqual(predictions[0]);
	});

	test("what does not fit is refused by name", { timeout: 30_000 }, async () => {
		const at = (name: string) => join(fixture.folder, name);
		const one = Float32Array.of(1, 2, 3);
		await writeSafetensors(at("narrow.safetensors"), { "<x>": { dtype: "F32", shape: [3], data: one } });
		await expect(openTuned(fixture.pipe, [at("narrow.safetensors")])).rejects.toThrow(
			/\[3\], but the model's text encoder has width \d+/,
		);
		await writeSafetensors(at("other.safetensors"), {
			"unet.mid_block.nothing.lora.down.weight": { dtype: "F32", shape: [1, 3], data: one },
		});
		await expect(openTuned(fixture.pipe, [at("other.safetensors")])).rejects.toThrow(
			/nothing.*is of no weight that it has/,
		);
		const run = join(fixture.folder, "run-dreambooth-lora", "pytorch_lora_weights.safetensors");
		await expect(openTuned(fixture.pipe, [run, run])).rejects.toThrow(/two of the files change the weight/);
		await writeSafetensors(at("half.safetensors"), {
			"unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora.down.weight": {
				dtype: "F32",
				shape: [1, 3],
				data: one,
			},
		});
		await expect(openTuned(fixture.pipe, [at("half.safetensors")])).rejects.toThrow(/one is missing/);
	});
});

describe("settings and folders", () => {
	test.each<[string, FinetuneMethod, object, RegExp]>([
		["a setting of another method", "textual-inversion", { rank: 4 }, /Textual Inversion has no setting "rank"/],
		["a misspelled setting", "dreambooth", { instancPrompt: "a" }, /did you mean "instancePrompt"/],
		[
			"a first word of too many tokens",
			"textual-inversion",
			{ initialWords: "lighthouse" },
			/"lighthouse" has \d+ tokens/,
		],
		[
			"a plain word as placeholder",
			"textual-inversion",
			{ placeholder: "cat" },
			/"placeholder" must be one word with a sign/,
		],
		[
			"a prompt without the word",
			"custom-diffusion",
			{ initialWords: "k", instancePrompt: "a cat" },
			/must hold the word <new1> once/,
		],
		[
			"timesteps of no model",
			"dreambooth-lora",
			{ minTimestep: 1000 },
			/timesteps from 1000 to 1000 do not fit the model's/,
		],
		["a size of no model", "dreambooth-lora", { size: [60, 64] }, /60/],
	])("refuses %s", async (_, method, given, message) => {
		const out = join(fixture.folder, "refused");
		rmSync(out, { recursive: true, force: true });
		await expect(finetune(fixture.pipe, method, fixture.images, given as never, { out }).result()).rejects.toThrow(
			message,
		);
	});

	test("a folder that is not empty is refused before the prior is painted", async () => {
		const out = join(fixture.folder, "occupied");
		mkdirSync(out);
		writeFileSync(join(out, "mine.txt"), "x");
		const given = { ...settings, classPrompt: "a", priorPictures: 1000 } as never;
		await expect(finetune(fixture.pipe, "dreambooth-lora", fixture.images, given, { out }).result()).rejects.toThrow(
			/is not empty/,
		);
		expect(existsSync(join(out, "prior"))).toBe(false);
	});

	test("the prior is painted once, and what is there is used first", { timeout: 60_000 }, async () => {
		const { priorPictures } = await import("../../src/index.js");
		const folder = join(fixture.folder, "painted");
		const options = { prompt: "a", seed: 1, size: [SIZE, SIZE] as const, steps: 2 };
		const told: number[] = [];
		const two = await priorPictures(fixture.pipe, folder, {
			...options,
			count: 2,
			onPicture: (done) => told.push(done),
		});
		expect(told).toEqual([0, 1, 2]);
		const [first, second] = [readFileSync(two[0]!), (await readImage(two[1]!)).data];
		rmSync(two[1]!);
		const again = await priorPictures(fixture.pipe, folder, { ...options, count: 2 });
		expect(again).toEqual(two);
		expect(readFileSync(two[0]!).equals(first)).toBe(true);
		// A picture's number decides its noise, whichever were painted with it.
		expect((await readImage(two[1]!)).data).toEqual(second);
		const own = join(fixture.folder, "own-class");
		mkdirSync(own);
		copyFileSync(two[0]!, join(own, "a-photo.png"));
		const mixed = await priorPictures(fixture.pipe, own, { ...options, count: 2 });
		expect(mixed.map((path) => path.slice(own.length + 1))).toEqual(["a-photo.png", "prior-0000.png"]);
	});

	test("a caption is a run of words alone", async () => {
		const out = join(fixture.folder, "caption");
		await writeCaptionRun(fixture.pipe, "short-caption", { caption: "a lighthouse" }, out);
		expect(await findTuned(out)).toMatchObject({ method: "short-caption", prompt: "a lighthouse", files: [] });
		await expect(writeCaptionRun(fixture.pipe, "long-caption", {}, join(fixture.folder, "c2"))).rejects.toThrow(
			/"caption"/,
		);
		expect(await findTuned(join(fixture.folder, "nowhere"))).toBeNull();
	});

	test("weights of the base model are untouched", async () => {
		const { weights } = fixture.pipe.components.unet;
		const name = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight";
		const pipe = await loadPipeline(fixture.model, { device: "cpu" });
		const fresh = await contentsOf(pipe.device, pipe.components.unet.weights.tensors.get(name)!);
		expect(await contentsOf(fixture.pipe.device, weights.tensors.get(name)!)).toEqual(fresh);
		pipe.dispose();
	});
});
