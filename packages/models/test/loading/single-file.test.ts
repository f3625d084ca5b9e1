// Whole models in one file, under the original names.
import { cpSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Device, openDevice, type TensorData, type WeightSet, writeSafetensors } from "@dreamdist/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AUTOENCODER, type ComponentKind, loadPipeline, openModel, TEXT_ENCODER, UNET } from "../../src/index.js";
import { DEFAULT_CONFIGS } from "../../src/loading/default-configs.js";
import { SingleFile } from "../../src/loading/single-file.js";
import { temporaryFolder, writeTinyModel } from "../tiny-model.js";
import { readTensors, renamed } from "./support.js";

/** The UNet's name in the original layout; written from the description of that layout, for 4 levels of 2 blocks. */
function ldmUNet(name: string): string {
	const inside = (rest: string) =>
		rest
			.replace(/^norm1/, "in_layers.0")
			.replace(/^conv1/, "in_layers.2")
			.replace(/^time_emb_proj/, "emb_layers.1")
			.replace(/^norm2/, "out_layers.0")
			.replace(/^conv2/, "out_layers.3")
			.replace(/^conv_shortcut/, "skip_connection");
	const fixed = name
		.replace("time_embedding.linear_1", "time_embed.0")
		.replace("time_embedding.linear_2", "time_embed.2")
		.replace(/^conv_in/, "input_blocks.0.0")
		.replace(/^conv_norm_out/, "out.0")
		.replace(/^conv_out/, "out.2");
	let match = /^down_blocks\.(\d)\.(resnets|attentions)\.(\d)\.(.*)$/.exec(fixed);
	if (match) {
		const i = 1 + 3 * Number(match[1]) + Number(match[3]);
		return match[2] === "resnets" ? `input_blocks.${i}.0.${inside(match[4]!)}` : `input_blocks.${i}.1.${match[4]}`;
	}
	match = /^down_blocks\.(\d)\.downsamplers\.0\.conv\.(.*)$/.exec(fixed);
	if (match) return `input_blocks.${3 * (Number(match[1]) + 1)}.0.op.${match[2]}`;
	match = /^up_blocks\.(\d)\.(resnets|attentions)\.(\d)\.(.*)$/.exec(fixed);
	if (match) {
		const i = 3 * Number(match[1]) + Number(match[3]);
		return match[2] === "resnets" ? `output_blocks.${i}.0.${inside(match[4]!)}` : `output_blocks.${i}.1.${match[4]}`;
	}
	match = /^up_blocks\.(\d)\.upsamplers\.0\.conv\.(.*)$/.exec(fixed);
	if (match) return `output_blocks.${3 * Number(match[1]) + 2}.${match[1] === "0" ? 1 : 2}.conv.${match[2]}`;
	return fixed
		.replace(
			/^mid_block\.resnets\.(\d)\.(.*)$/,
			(_, i: string, rest: string) => `middle_block.${2 * Number(i)}.${inside(rest)}`,
		)
		.replace("mid_block.attentions.0", "middle_block.1");
}

function ldmAutoencoder(name: string): string {
	return name
		.replace("mid_block.resnets.0", "mid.block_1")
		.replace("mid_block.resnets.1", "mid.block_2")
		.replace("mid_block.attentions.0.group_norm", "mid.attn_1.norm")
		.replace(/mid_block\.attentions\.0\.to_([qkv])/, "mid.attn_1.$1")
		.replace("mid_block.attentions.0.to_out.0", "mid.attn_1.proj_out")
		.replace("conv_norm_out", "norm_out")
		.replace("conv_shortcut", "nin_shortcut")
		.replace(/down_blocks\.(\d)\.downsamplers\.0/, "down.$1.downsample")
		.replace(/down_blocks\.(\d)\.resnets\.(\d)/, "down.$1.block.$2")
		.replace(/up_blocks\.(\d)\.upsamplers\.0/, (_, i: string) => `up.${3 - Number(i)}.upsample`)
		.replace(/up_blocks\.(\d)\.resnets\.(\d)/, (_, i: string, j: string) => `up.${3 - Number(i)}.block.${j}`);
}

/** OpenCLIP's text tower: one layer more, and query, key and value in one tensor. */
function openClip(tensors: Record<string, TensorData>, layers: number): Record<string, TensorData> {
	const plain = renamed(tensors, (name) => name.replace("text_model.", ""));
	const out: Record<string, TensorData> = {
		"token_embedding.weight": plain["embeddings.token_embedding.weight"]!,
		positional_embedding: plain["embeddings.position_embedding.weight"]!,
		"ln_final.weight": plain["final_layer_norm.weight"]!,
		"ln_final.bias": plain["final_layer_norm.bias"]!,
		text_projection: { dtype: "F16", shape: [1, 1], data: new Uint16Array(1) },
		logit_scale: { dtype: "F16", shape: [], data: new Uint16Array(1) },
	};
	const names = {
		ln_1: "layer_norm1",
		ln_2: "layer_norm2",
		"mlp.c_fc": "mlp.fc1",
		"mlp.c_proj": "mlp.fc2",
		"attn.out_proj": "self_attn.out_proj",
	};
	for (let i = 0; i <= layers; i++) {
		// The last layer is not used: any layer's weights will do.
		const from = `encoder.layers.${Math.min(i, layers - 1)}`;
		const to = `transformer.resblocks.${i}`;
		for (const [theirs, ours] of Object.entries(names))
			for (const part of ["weight", "bias"]) out[`${to}.${theirs}.${part}`] = plain[`${from}.${ours}.${part}`]!;
		for (const part of ["weight", "bias"]) {
			const three = ["q", "k", "v"].map((x) => plain[`${from}.self_attn.${x}_proj.${part}`]!);
			const bytes = Buffer.concat(three.map(({ data }) => data as Uint8Array));
			const shape = [3 * three[0]!.shape[0]!, ...three[0]!.shape.slice(1)];
			out[`${to}.attn.in_proj_${part}`] = { dtype: "F16", shape, data: new Uint8Array(bytes) };
		}
	}
	return out;
}

const prefixed = (prefix: string, tensors: Record<string, TensorData>) => renamed(tensors, (name) => prefix + name);
const { folder, remove } = temporaryFolder();
let device: Device;
let model: string;
let file: string;
let tensors: Record<string, TensorData>;
beforeAll(async () => {
	device = await openDevice("cpu", { threads: 2 });
	model = await writeTinyModel(folder, device);
	const read = (path: string) => readTensors(join(model, path));
	const vae = renamed(await read("vae/diffusion_pytorch_model.safetensors"), ldmAutoencoder);
	for (const [name, tensor] of Object.entries(vae))
		if (/attn_1\.(q|k|v|proj_out)\.weight$/.test(name)) vae[name] = { ...tensor, shape: [...tensor.shape, 1, 1] };
	tensors = {
		...prefixed("model.diffusion_model.", renamed(await read("unet/diffusion_pytorch_model.safetensors"), ldmUNet)),
		...prefixed("first_stage_model.", vae),
		...prefixed("cond_stage_model.model.", openClip(await read("text_encoder/model.safetensors"), 3)),
		betas: { dtype: "F32", shape: [1000], data: new Float32Array(1000) },
		sqrt_one_minus_alphas_cumprod: { dtype: "F32", shape: [1000], data: new Float32Array(1000) },
		posterior_mean_coef1: { dtype: "F32", shape: [1000], data: new Float32Array(1000) },
		"model_ema.decay": { dtype: "F32", shape: [], data: new Float32Array(1) },
	};
	file = join(folder, "whole.safetensors");
	await writeSafetensors(file, tensors);
	cpSync(join(model, "tokenizer"), join(folder, "tokenizer"), { recursive: true });
});
afterAll(() => {
	device.dispose();
	remove();
});

/** All weights of a network as numbers. */
async function contents(set: WeightSet): Promise<Map<string, Float32Array>> {
	const program = await device.compile((graph) => {
		const weights = set.open(graph);
		return Object.fromEntries([...set.tensors].map(([name, { shape }]) => [name, weights.get(name, shape)]));
	});
	const results = (await program.run()) as Record<string, Float32Array>;
	program.dispose();
	return new Map(Object.entries(results));
}

describe("single-file checkpoints", () => {
	it.each([
		["UNet", UNET],
		["autoencoder", AUTOENCODER],
		["text encoder", TEXT_ENCODER],
	])("have the same %s as the model's folder", async (_, kind) => {
		const single = await SingleFile.open(file, {}, DEFAULT_CONFIGS.tiny);
		const whole = await openModel(model);
		const one = await single.load(kind as ComponentKind<unknown>);
		const other = await whole.load(kind as ComponentKind<unknown>);
		const [actual, expected] = [await contents(one.weights), await contents(other.weights)];
		expect([...actual.keys()].sort()).toEqual([...expected.keys()].sort());
		for (const [name, data] of expected)
			expect(Buffer.compare(bytesOf(actual.get(name)!), bytesOf(data)), name).toBe(0);
		single.dispose();
		whole.dispose();
	});

	it("take the tokenizer beside them, or the one that is named", async () => {
		const single = await SingleFile.open(file, {}, DEFAULT_CONFIGS.tiny);
		expect((await single.tokenizer()).vocabularySize).toBe(49408);
		single.dispose();
		mkdirSync(join(folder, "alone"));
		const alone = join(folder, "alone", "model.safetensors");
		cpSync(file, alone);
		const without = await SingleFile.open(alone, {}, DEFAULT_CONFIGS.tiny);
		await expect(without.tokenizer()).rejects.toThrow("model.safetensors holds no tokenizer");
		without.dispose();
		const named = await SingleFile.open(alone, { tokenizer: join(folder, "tokenizer") }, DEFAULT_CONFIGS.tiny);
		expect((await named.tokenizer()).endId).toBe(49407);
		named.dispose();
	});

	it("list what is missing, and what belongs to no network", async () => {
		const broken = join(folder, "broken.safetensors");
		const { "model.diffusion_model.out.2.bias": _, ...rest } = tensors;
		await writeSafetensors(broken, { ...rest, "model.diffusion_model.label_emb.0.0.bias": rest.betas! });
		const single = await SingleFile.open(broken, {}, DEFAULT_CONFIGS.tiny);
		await expect(single.load(UNET)).rejects.toThrow(
			"1 missing (conv_out.bias); 1 unexpected (model.diffusion_model.label_emb.0.0.bias)",
		);
		single.dispose();
		await writeSafetensors(broken, { ...tensors, "control_model.x": rest.betas! });
		await expect(SingleFile.open(broken, {}, DEFAULT_CONFIGS.tiny)).rejects.toThrow("control_model.x");
	});

	it("that have the form of no published model are refused", async () => {
		await expect(loadPipeline(file, { device })).rejects.toThrow("belong to neither Stable Diffusion 1 nor 2");
		const vae = join(folder, "vae.safetensors");
		await writeSafetensors(vae, { x: tensors.betas! });
		await expect(loadPipeline(vae, { device })).rejects.toThrow("is no Stable Diffusion checkpoint");
	});

	it.each([
		["v2-1_768-ema-pruned", 1024, {}, "v_prediction", /velocity.*768 px/],
		["v2-1_512-ema-pruned", 1024, {}, "epsilon", /noise.*512 px/],
		["mine", 1024, {}, "v_prediction", /velocity/],
		["mine", 1024, { "modelspec.prediction_type": "epsilon" }, "epsilon", null],
		["v1-5-pruned", 768, {}, "epsilon", null],
	])("say what they assume about %s, width %i, metadata %j", async (name, width, metadata, prediction, note) => {
		const path = join(folder, `${name}.safetensors`);
		const probe = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight";
		const empty: TensorData = { dtype: "F16", shape: [0, width], data: new Uint16Array(0) };
		await writeSafetensors(path, { [probe]: empty }, { metadata });
		const single = await SingleFile.open(path);
		expect((await single.scheduler()).json).toMatchObject({ prediction_type: prediction });
		if (note) expect(single.notes.join()).toMatch(note);
		else expect(single.notes).toEqual([]);
		single.dispose();
		const told = await SingleFile.open(path, { predictionType: "epsilon" });
		expect((await told.scheduler()).json).toMatchObject({ prediction_type: "epsilon" });
		expect(told.notes).toEqual([]);
		told.dispose();
	});
});

function bytesOf(data: Float32Array): Uint8Array {
	return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
