import { describe, expect, test } from "vitest";
import {
	readClipConfig,
	readClipVisionConfig,
	readDinoConfig,
	readDinov2Config,
	readResnetClassifierConfig,
} from "../../src/index.js";

describe("configurations of image encoders and classifiers", () => {
	test("are refused with the key that is wrong", () => {
		expect(() => readClipVisionConfig({ image_size: 64, patch_size: 24 })).toThrow(
			'"patch_size" 24 does not divide "image_size" 64',
		);
		expect(() => readClipVisionConfig({ num_channels: 4 })).toThrow('"num_channels" is 4; supported: 3');
		const resnet = { block: "basic", layers: [1, 1], channels: [8, 8] };
		expect(() => readResnetClassifierConfig({ ...resnet, block: "wide" })).toThrow(
			'"block" is "wide"; supported: basic, bottleneck',
		);
		expect(() => readResnetClassifierConfig({ ...resnet, channels: [8] })).toThrow(
			'"channels" must have as many values as "layers"',
		);
		expect(readResnetClassifierConfig({ ...resnet, num_classes: 10 }).heads).toEqual({ fc: 10 });
	});

	test("are read with everything that the Hub writes around them", () => {
		const generation = { id2label: { 0: "LABEL_0" }, num_beams: 1, torchscript: false, transformers_version: "4.16.0" };
		const clip = readClipConfig({
			...generation,
			architectures: ["CLIPModel"],
			projection_dim: 512,
			text_config: {
				...generation,
				eos_token_id: 2,
				bos_token_id: 0,
				projection_dim: 512,
				model_type: "clip_text_model",
			},
			text_config_dict: null,
			vision_config: { ...generation, model_type: "clip_vision_model" },
		});
		expect(clip).toMatchObject({ projectionSize: 512, endToken: 49407, vision: { patchSize: 32 } });
		const giant = {
			hidden_size: 1536,
			num_attention_heads: 24,
			image_size: 518,
			use_swiglu_ffn: true,
			drop_path_rate: 0.4,
		};
		expect(readDinov2Config({ ...generation, ...giant })).toMatchObject({ mlp: "swiglu", intermediateSize: 4096 });
		expect(() => readDinov2Config({ image_size: 224, patch_size: 15 })).toThrow(
			'"patch_size" 15 does not divide "image_size" 224',
		);
		expect(() => readDinoConfig({ hidden_act: "relu" })).toThrow('"hidden_act" is "relu"; supported: gelu');
		expect(() => readClipConfig({ text_config: { eos_token_id: 70000 } })).toThrow(/"eos_token_id" 70000 is no token/);
	});
});
