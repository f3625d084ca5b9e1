// Model folders as they come: renamed weights, variants, shards, and everything that can be wrong with them.
import { cpSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
	type Device,
	openDevice,
	openSafetensors,
	type TensorData,
	TensorToSave,
	WeightsError,
	writeSafetensors,
	writeTorch,
} from "@dreamdist/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type LoadPipelineOptions, loadPipeline, type Pipeline } from "../../src/index.js";
import { relativeError } from "../networks/support.js";
import { temporaryFolder, writeTinyModel } from "../tiny-model.js";
import { readTensors, renamed, replaceWeights, WEIGHT_FILES } from "./support.js";

const { folder, remove } = temporaryFolder();
let device: Device;
let model: string;
let expected: Float32Array;
beforeAll(async () => {
	device = await openDevice("cpu", { threads: 2 });
	model = await writeTinyModel(folder, device);
	expected = await fingerprint(model);
});
afterAll(() => {
	device.dispose();
	remove();
});

/** Numbers that every network of a model takes part in. */
async function outputs(pipe: Pipeline): Promise<Float32Array> {
	const { features } = await pipe.encodeText(["a cat"]);
	const wave = { data: Float32Array.from({ length: 256 }, (_, i) => Math.sin(i)), shape: [1, 8, 8, 4] };
	const noise = await pipe.predictNoise(wave, [500], features);
	const { mean } = await pipe.encodePictures(await pipe.decodeLatents(noise));
	return mean.data;
}

async function fingerprint(path: string, options: LoadPipelineOptions = {}): Promise<Float32Array> {
	const pipe = await loadPipeline(path, { ...options, device });
	try {
		return await outputs(pipe);
	} finally {
		pipe.dispose();
	}
}

let copies = 0;
/** A copy of the model to change. */
async function changed(change: (path: string) => unknown): Promise<string> {
	const path = join(folder, `changed-${copies++}`);
	cpSync(model, path, { recursive: true });
	await change(path);
	return path;
}

const weightsOf = (path: string, component: "unet" | "vae" | "text_encoder") =>
	readTensors(
		join(path, component, component === "text_encoder" ? "model.safetensors" : "diffusion_pytorch_model.safetensors"),
	);

function editJson(path: string, change: Record<string, unknown>): void {
	writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), ...change }));
}

describe("model folders", () => {
	it("may say how pictures come out best, of learned prompts too", async () => {
		const said = {
			num_inference_steps: 12,
			guidance_scale: 2,
			learned_guidance_scale: 4,
			transformers_version: "4.40",
		};
		const path = await changed((at) => writeFileSync(join(at, "generation_config.json"), JSON.stringify(said)));
		using pipe = await loadPipeline(path, { device });
		expect(pipe.sampling).toEqual({ steps: 12, guidance: 2, learnedGuidance: 4 });
		editJson(join(path, "generation_config.json"), { learned_guidance_scale: "high" });
		await expect(loadPipeline(path, { device })).rejects.toThrow(/generation_config\.json: "learned_guidance_scale"/);
	});

	it("may have the autoencoder's old attention names, as convolutions, and the text encoder's without prefix", async () => {
		const OLD = { to_q: "query", to_k: "key", to_v: "value", "to_out.0": "proj_attn" };
		const path = await changed(async (at) => {
			const vae = renamed(await weightsOf(at, "vae"), (name) =>
				name.replace(
					/(attentions\.0\.)(to_q|to_k|to_v|to_out\.0)\./,
					(_, a: string, b: keyof typeof OLD) => `${a}${OLD[b]}.`,
				),
			);
			expect(Object.keys(vae)).toContain("decoder.mid_block.attentions.0.proj_attn.bias");
			for (const [name, tensor] of Object.entries(vae))
				if (/attentions\.0\.\w+\.weight$/.test(name) && !name.includes("group_norm"))
					vae[name] = { ...tensor, shape: [...tensor.shape, 1, 1] };
			await replaceWeights(at, "vae", vae);
			const text = renamed(await weightsOf(at, "text_encoder"), (name) => name.replace("text_model.", ""));
			const ids: TensorData = { dtype: "I64", shape: [1, 77], data: new BigInt64Array(77) };
			await replaceWeights(at, "text_encoder", { ...text, "embeddings.position_ids": ids });
		});
		expect(relativeError(await fingerprint(path), expected)).toBe(0);
	});

	it("may be saved as the fp16 variant, sharded, or without an index of their parts", async () => {
		const path = await changed(async (at) => {
			renameSync(
				join(at, "unet", "diffusion_pytorch_model.safetensors"),
				join(at, "unet", "diffusion_pytorch_model.fp16.safetensors"),
			);
			rmSync(join(at, "model_index.json"));
			const text = Object.entries(await weightsOf(at, "text_encoder"));
			rmSync(join(at, "text_encoder", "model.safetensors"));
			const weight_map: Record<string, string> = {};
			for (const [k, part] of [text.slice(0, 20), text.slice(20)].entries()) {
				const shard = `model-0000${k + 1}-of-00002.safetensors`;
				await writeSafetensors(join(at, "text_encoder", shard), Object.fromEntries(part));
				for (const [name] of part) weight_map[name] = shard;
			}
			writeFileSync(join(at, "text_encoder", "model.safetensors.index.json"), JSON.stringify({ weight_map }));
		});
		expect(relativeError(await fingerprint(path), expected)).toBe(0);
	});

	it("may hold networks that were only published pickled", async () => {
		const path = await changed(async (at) => {
			for (const [network, name] of [
				["unet", "diffusion_pytorch_model.fp16.bin"],
				["text_encoder", "pytorch_model.bin"],
			] as const) {
				const file = await openSafetensors(join(at, network, WEIGHT_FILES[network]));
				const tensors: Record<string, TensorToSave> = {};
				for (const [key, { shape }] of file.tensors) tensors[key] = new TensorToSave(shape, await file.readF32(key));
				await file.close();
				await writeTorch(join(at, network, name), tensors);
				rmSync(join(at, network, WEIGHT_FILES[network]));
			}
		});
		expect(relativeError(await fingerprint(path), expected)).toBeLessThan(1e-6);
	});

	it("stay in their stored precision unless another is asked for", async () => {
		const pipe = await loadPipeline(model, { device });
		await outputs(pipe);
		const stored = device.memory.weights;
		pipe.dispose();
		expect(device.memory.weights).toBe(0);
		const wide = await loadPipeline(model, { device, dtype: "f32" });
		expect(relativeError(await outputs(wide), expected)).toBeLessThan(1e-6);
		// Rows are padded to the same number in either precision, but not every layout has the same.
		expect(device.memory.weights / stored).toBeGreaterThan(1.85);
		wide.dispose();
		expect(relativeError(await fingerprint(model, { dtype: "bf16" }), expected)).toBeLessThan(0.1);
	});

	it("have the same identity in any precision", async () => {
		const [one, other] = [await loadPipeline(model, { device }), await loadPipeline(model, { device, dtype: "f32" })];
		expect(other.identity).toEqual(one.identity);
		for (const pipe of [one, other]) pipe.dispose();
	});
});

describe("what is wrong with a model folder", () => {
	const refusal = async (change: (path: string) => unknown): Promise<Error> => {
		const path = await changed(change);
		try {
			(await loadPipeline(path, { device })).dispose();
		} catch (error) {
			return error as Error;
		}
		throw new Error("nothing was refused");
	};

	it("lists weights that are missing, misshaped or unexpected", async () => {
		const error = (await refusal(async (at) => {
			const tensors = await weightsOf(at, "unet");
			delete tensors["conv_in.bias"];
			delete tensors["mid_block.resnets.0.conv1.weight"];
			tensors["conv_out.bias"] = { dtype: "F16", shape: [5], data: new Uint16Array(5) };
			tensors.add_embedding = { dtype: "F16", shape: [1], data: new Uint16Array(1) };
			await replaceWeights(at, "unet", tensors);
		})) as WeightsError;
		expect(error).toBeInstanceOf(WeightsError);
		expect([...error.missing].sort()).toEqual(["conv_in.bias", "mid_block.resnets.0.conv1.weight"]);
		expect(error.misshaped).toEqual(["conv_out.bias"]);
		expect(error.unexpected).toEqual(["add_embedding"]);
		expect(error.message).toContain("conv_out.bias: [5] instead of [4]");
	});

	it("names a weight file that is missing or cut off", async () => {
		const missing = await refusal((at) => rmSync(join(at, "vae", "diffusion_pytorch_model.safetensors")));
		expect(missing.message).toMatch(/cannot read weights from .*vae: it has no safetensors file/);
		const cut = await refusal((at) => truncateSync(join(at, "unet", "diffusion_pytorch_model.safetensors"), 100_000));
		expect(cut.message).toMatch(/diffusion_pytorch_model\.safetensors is not a valid safetensors file.*cut off/);
	});

	it("names a weight that is not a number before anything is computed with it", async () => {
		const path = await changed(async (at) => {
			const tensors = await weightsOf(at, "vae");
			const name = "decoder.conv_out.bias";
			tensors[name] = { dtype: "F16", shape: [3], data: Uint16Array.of(0, 0x7e00, 0) };
			await replaceWeights(at, "vae", tensors);
		});
		const pipe = await loadPipeline(path, { device });
		const latents = { data: new Float32Array(256), shape: [1, 8, 8, 4] };
		await expect(pipe.decodeLatents(latents)).rejects.toThrow(
			'weight "decoder.conv_out.bias" can\'t be used: 1 of its values are infinite or not a number',
		);
		pipe.dispose();
	});

	it("names the configuration's key, the part that is not supported, and networks that do not fit each other", async () => {
		const key = await refusal((at) => editJson(join(at, "unet", "config.json"), { class_embed_type: "timestep" }));
		expect(key.message).toMatch(/unet.config\.json: "class_embed_type" is "timestep"/);
		const part = await refusal((at) =>
			editJson(join(at, "model_index.json"), { text_encoder_2: ["transformers", "CLIPTextModelWithProjection"] }),
		);
		expect(part.message).toContain('"text_encoder_2"');
		const unet = await refusal((at) => editJson(join(at, "model_index.json"), { unet: ["diffusers", "UNet3D"] }));
		expect(unet.message).toContain('"unet" is a UNet3D; only UNet2DConditionModel is supported');
		const width = await refusal(async (at) => {
			const tensors = await weightsOf(at, "unet");
			for (const [name, tensor] of Object.entries(tensors))
				if (/attn2\.to_[kv]/.test(name)) {
					const rows = tensor.shape[0]!;
					tensors[name] = { dtype: "F16", shape: [rows, 32], data: new Uint16Array(rows * 32) };
				}
			await replaceWeights(at, "unet", tensors);
			editJson(join(at, "unet", "config.json"), { cross_attention_dim: 32 });
		});
		expect(width.message).toContain("the text encoder makes features of width 64, but the UNet reads 32");
	});

	it("says what is no model", async () => {
		await expect(loadPipeline(join(folder, "nothing"), { device })).rejects.toThrow("There is no model at");
		const file = join(folder, "model.ckpt");
		writeFileSync(file, "x");
		await expect(loadPipeline(file, { device })).rejects.toThrow("pickled checkpoints can run code");
		await expect(loadPipeline("nobody/nothing", { device })).rejects.toThrow("nobody/nothing");
	});

	it("stops when it is aborted", async () => {
		const controller = new AbortController();
		const loading = loadPipeline(model, {
			device,
			signal: controller.signal,
			onProgress: (event) => event.kind === "component" && event.component === "unet" && controller.abort(),
		});
		await expect(loading).rejects.toThrow("abort");
	});
});

describe("a pipeline", () => {
	it("refuses sizes that its networks can't make, naming the two nearest", async () => {
		const pipe = await loadPipeline(model, { device });
		expect(pipe.sizeMultiple).toBe(64);
		expect(() => pipe.checkSize(512, 768)).not.toThrow();
		expect(() => pipe.checkSize(512, 500)).toThrow(
			`The height 500 is not a multiple of 64, as ${pipe.identity.id} needs; the nearest are 448 and 512.`,
		);
		expect(() => pipe.checkSize(10, 512)).toThrow("the nearest are 64 and 128");
		await expect(pipe.encodeText([])).rejects.toThrow("no text");
		pipe.dispose();
	});

	it("compiles once per shape and stops what is aborted", async () => {
		const pipe = await loadPipeline(model, { device });
		const before = device.compilations;
		await Promise.all([pipe.encodeText(["a"]), pipe.encodeText(["b"]), pipe.encodeText(["c", "d"])]);
		expect(device.compilations - before).toBe(2);
		await expect(pipe.encodeText(["a"], { signal: AbortSignal.abort() })).rejects.toThrow("abort");
		pipe.dispose();
	});

	it("refuses results that are not numbers", async () => {
		const pipe = await loadPipeline(model, { device });
		const latents = { data: new Float32Array(256).fill(Number.NaN), shape: [1, 8, 8, 4] };
		await expect(pipe.decodeLatents(latents)).rejects.toThrow("are infinite or not a number");
		pipe.dispose();
	});
});
