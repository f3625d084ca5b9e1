import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Device, openDevice, openSafetensors } from "@dreamdist/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { initModel, loadPipeline, loadTokenizer } from "../../src/index.js";
import { statistics } from "../networks/support.js";
import { temporaryFolder, writeTinyModel } from "../tiny-model.js";

describe("initModel", () => {
	let device: Device;
	let model: string;
	const { folder, remove } = temporaryFolder();
	beforeAll(async () => {
		device = await openDevice("cpu", { threads: 2 });
		model = await writeTinyModel(folder, device);
	});
	afterAll(() => {
		device.dispose();
		remove();
	});

	it("writes the layout of the published models, in half precision", async () => {
		expect(readdirSync(model).sort()).toEqual([
			"model_index.json",
			"scheduler",
			"text_encoder",
			"tokenizer",
			"unet",
			"vae",
		]);
		const text = await openSafetensors(join(model, "text_encoder", "model.safetensors"));
		const name = "text_model.encoder.layers.0.mlp.fc1.weight";
		expect(text.entry(name)).toMatchObject({ dtype: "F16", shape: [256, 64] });
		const { mean, std } = statistics(await text.readF32(name));
		expect(Math.abs(mean)).toBeLessThan(0.003);
		expect(std * 8).toBeCloseTo(1, 1);
		expect([...(await text.readF32("text_model.final_layer_norm.weight"))]).toEqual(new Array(64).fill(1));
		expect([...(await text.readF32("text_model.final_layer_norm.bias"))]).toEqual(new Array(64).fill(0));
		await text.close();
		const tokenizer = await loadTokenizer(join(model, "tokenizer"));
		expect(tokenizer.vocabularySize).toBe(49408);
	});

	it("loads as a pipeline whose parts work", async () => {
		const events: string[] = [];
		const pipe = await loadPipeline(model, {
			device,
			onProgress: (event) => events.push(event.kind === "component" ? event.component : event.message),
		});
		expect(events).toEqual(["text_encoder", "unet", "vae"]);
		const { features, texts } = await pipe.encodeText(["a cat", ""]);
		expect(features.shape).toEqual([2, 77, 64]);
		expect(texts[0]!.truncated).toBeNull();
		const latents = { data: Float32Array.from({ length: 8 * 8 * 4 }, (_, i) => Math.sin(i)), shape: [1, 8, 8, 4] };
		const noise = await pipe.predictNoise(latents, [500], features);
		expect(noise.shape).toEqual([2, 8, 8, 4]);
		expect(statistics(noise.data).std).toBeGreaterThan(0.1);
		const pictures = await pipe.decodeLatents(latents);
		expect(pictures.shape).toEqual([1, 64, 64, 3]);
		const { mean, std } = await pipe.encodePictures(pictures);
		expect(mean.shape).toEqual([1, 8, 8, 4]);
		expect(std.data.every((x) => x > 0)).toBe(true);
		expect(pipe.noiseSchedule.predictionType).toBe("v_prediction");
		expect(pipe.scheduler.sampler).toBe("ddim");
		expect(pipe.identity.hash).toMatch(/^[0-9a-f]{64}$/);
		pipe.dispose();
		expect(device.disposed).toBe(false);
	});

	it("gives the same files for a seed and others for another", async () => {
		const bytes = (path: string) => readFileSync(join(path, "vae", "diffusion_pytorch_model.safetensors"));
		const again = join(folder, "again");
		await initModel(again, { config: "tiny", seed: 1, device });
		expect(bytes(again).equals(bytes(model))).toBe(true);
		const other = join(folder, "other");
		await initModel(other, { config: "tiny", seed: 2 ** 40 + 1, device });
		expect(bytes(other).equals(bytes(model))).toBe(false);
	});

	it("copies a tokenizer", async () => {
		const path = join(folder, "copied");
		await initModel(path, { config: "tiny", seed: 1, device, tokenizer: join(model, "tokenizer"), dtype: "f32" });
		const read = (at: string) => readFileSync(join(at, "tokenizer", "special_tokens_map.json"), "utf8");
		expect(read(path)).toBe(read(model));
	});

	it("never replaces anything, and leaves nothing behind when it stops", async () => {
		await expect(initModel(model, { config: "tiny", seed: 1, device })).rejects.toThrow("is not empty");
		const full = join(folder, "full");
		mkdirSync(full);
		writeFileSync(join(full, "notes.txt"), "mine");
		await expect(initModel(full, { config: "tiny", seed: 1, device })).rejects.toThrow("is not empty");
		const controller = new AbortController();
		const stopped = initModel(join(folder, "stopped"), {
			config: "tiny",
			seed: 1,
			device,
			signal: controller.signal,
			onProgress: ({ component }) => component === "unet" && controller.abort(),
		});
		await expect(stopped).rejects.toThrow("abort");
		expect(existsSync(join(folder, "stopped"))).toBe(false);
		expect(readdirSync(folder).filter((name) => name.startsWith("."))).toEqual([]);
		await expect(initModel(join(folder, "x"), { config: "tiny", seed: -1, device })).rejects.toThrow("whole number");
	});
});
