import { FormatError } from "@dreamdist/core";
import { describe, expect, it } from "vitest";
import { readAutoencoderConfig, readClipTextConfig, readUNetConfig } from "../../src/index.js";
import { DEFAULT_CONFIGS } from "../../src/loading/default-configs.js";

const refusal = (read: (json: unknown, source: string) => unknown, json: unknown): string => {
	try {
		read(json, "config.json");
	} catch (error) {
		if (error instanceof FormatError) return error.message;
		throw error;
	}
	throw new Error("nothing was refused");
};

describe("UNet configurations", () => {
	it("reads Stable Diffusion 2.1's", () => {
		const config = readUNetConfig(DEFAULT_CONFIGS.sd21.unet);
		expect(config.down.map(({ attention }) => attention?.heads ?? null)).toEqual([5, 10, 20, null]);
		expect(config.up.map(({ channels }) => channels)).toEqual([1280, 1280, 640, 320]);
		expect(config.up.map(({ attention }) => attention?.heads ?? null)).toEqual([null, 20, 10, 5]);
		expect(config).toMatchObject({ timeWidth: 1280, contextWidth: 1024, linearProjection: true, sampleSize: [96, 96] });
	});

	it("reads one number of heads for all blocks, as Stable Diffusion 1 has it, and lists per block", () => {
		const one = readUNetConfig(DEFAULT_CONFIGS.sd15.unet);
		expect(one.down.slice(0, 3).map(({ attention }) => attention!.heads)).toEqual([8, 8, 8]);
		const lists = readUNetConfig({
			...DEFAULT_CONFIGS.sd21.unet,
			layers_per_block: [1, 2, 3, 4],
			transformer_layers_per_block: [1, 2, 3, 4],
			sample_size: [64, 96],
		});
		expect(lists.down.map(({ layers }) => layers)).toEqual([1, 2, 3, 4]);
		expect(lists.up.map(({ layers }) => layers)).toEqual([5, 4, 3, 2]);
		expect(lists.up.map(({ attention }) => attention?.layers ?? null)).toEqual([null, 3, 2, 1]);
		expect(lists.middle.layers).toBe(4);
		expect(lists.sampleSize).toEqual([64, 96]);
	});

	it("ignores what later releases add as long as it is off", () => {
		const json = { ...DEFAULT_CONFIGS.sd21.unet, _name_or_path: "x", new_switch: false, new_option: null };
		expect(() => readUNetConfig(json)).not.toThrow();
	});

	it.each([
		[{ class_embed_type: "timestep" }, '"class_embed_type" is "timestep", which is not supported'],
		[{ new_switch: true }, '"new_switch" is not a known key'],
		[{ act_fn: "gelu" }, '"act_fn" is "gelu"; supported: silu, swish'],
		[{ dual_cross_attention: true }, '"dual_cross_attention" is true; supported: false'],
		[{ norm_num_groups: 48 }, '"norm_num_groups" 48 does not divide the 320 channels'],
		[{ attention_head_dim: [5, 10, 20] }, '"attention_head_dim" has 3 values for 4 blocks'],
		[{ attention_head_dim: 7 }, '"attention_head_dim" gives 7 heads, which do not divide 320 channels'],
		[{ down_block_types: ["AttnDownBlock2D", "x", "x", "x"] }, '"down_block_types[0]" is "AttnDownBlock2D"; supported'],
		[{ num_attention_heads: 8 }, '"num_attention_heads" is 8, which is not supported'],
		[{ block_out_channels: "wide" }, '"block_out_channels" must be of type array'],
		[{ layers_per_block: 0 }, '"layers_per_block" must be at least 1'],
		[{ cross_attention_dim: [1024, 768, 1024, 1024] }, '"cross_attention_dim" has different widths'],
		[{ mid_block_type: "UNetMidBlock2D" }, '"mid_block_type" is "UNetMidBlock2D"; supported'],
		[{ conv_in_kernel: 4 }, '"conv_in_kernel"'],
	])("names the key of %j", (change, message) => {
		expect(refusal(readUNetConfig, { ...DEFAULT_CONFIGS.sd21.unet, ...change })).toContain(`config.json: ${message}`);
	});

	it("refuses what is no object", () => {
		expect(refusal(readUNetConfig, [1])).toBe("config.json: it is not a JSON object.");
	});
});

describe("text encoder configurations", () => {
	it("reads Stable Diffusion 2.1's, whatever its legacy token ids", () => {
		const json = { ...DEFAULT_CONFIGS.sd21.text_encoder, bos_token_id: 0, eos_token_id: 2, torch_dtype: "float16" };
		expect(readClipTextConfig(json)).toEqual({
			vocabularySize: 49408,
			hiddenSize: 1024,
			intermediateSize: 4096,
			layers: 23,
			heads: 16,
			maxPositions: 77,
			activation: "gelu",
			layerNormEps: 1e-5,
		});
	});

	it.each([
		[{ hidden_act: "relu" }, '"hidden_act" is "relu"; supported: gelu, quick_gelu'],
		[{ model_type: "t5" }, '"model_type" is "t5"; supported: clip_text_model'],
		[{ num_attention_heads: 3 }, '"num_attention_heads" 3 does not divide "hidden_size" 1024'],
		[{ vocab_size: 1.5 }, '"vocab_size"'],
		[{ surprise: 1 }, '"surprise" is not a known key'],
	])("names the key of %j", (change, message) => {
		const json = { ...DEFAULT_CONFIGS.sd21.text_encoder, ...change };
		expect(refusal(readClipTextConfig, json)).toContain(`config.json: ${message}`);
	});
});

describe("autoencoder configurations", () => {
	it("fills in the scaling factor that old files leave out", () => {
		const { scaling_factor: _, ...json } = DEFAULT_CONFIGS.sd21.vae;
		expect(readAutoencoderConfig(json).scalingFactor).toBe(0.18215);
	});

	it.each([
		[{ shift_factor: 0.1 }, '"shift_factor" is 0.1; supported: 0'],
		[{ latents_mean: [0, 0, 0, 0] }, '"latents_mean" is [0,0,0,0], which is not supported'],
		[{ down_block_types: ["DownEncoderBlock2D"] }, '"down_block_types" has 1 values for 4 blocks'],
		[{ up_block_types: new Array(4).fill("AttnUpDecoderBlock2D") }, '"up_block_types[0]" is "AttnUpDecoderBlock2D"'],
		[{ block_out_channels: [128, 256, 512, 1024] }, "attention over more than 512 channels"],
		[{ norm_num_groups: 48 }, '"norm_num_groups" 48 does not divide the 128 channels'],
	])("names the key of %j", (change, message) => {
		expect(refusal(readAutoencoderConfig, { ...DEFAULT_CONFIGS.sd21.vae, ...change })).toContain(message);
	});
});
