// A recipe for networks that train in seconds.
import { parseRecipe, type Recipe } from "../../src/index.js";

const repeat = (name: string, count: number) => new Array<string>(count).fill(name);

const stage = {
	steps: 8,
	batch: 4,
	learningRate: 3e-3,
	warmupSteps: 1,
	evaluationPictures: 32,
	evaluateEvery: 100,
	logEvery: 2,
};

const TINY = {
	format: "dreamdist.recipe",
	version: 1,
	name: "tiny",
	seed: 3,
	tokenizer: { vocabulary: 700, captions: 300 },
	networks: {
		classifier: { block: "basic", stem: "small", stem_channels: 4, layers: [1, 1, 1], channels: [4, 6, 8] },
		vae: {
			block_out_channels: [4, 8, 8],
			down_block_types: repeat("DownEncoderBlock2D", 3),
			up_block_types: repeat("UpDecoderBlock2D", 3),
			layers_per_block: 1,
			norm_num_groups: 2,
			latent_channels: 3,
		},
		text_encoder: {
			hidden_size: 16,
			intermediate_size: 32,
			num_hidden_layers: 2,
			num_attention_heads: 2,
			hidden_act: "gelu",
			max_position_embeddings: 77,
		},
		image_encoder: {
			hidden_size: 16,
			intermediate_size: 24,
			num_hidden_layers: 2,
			num_attention_heads: 2,
			hidden_act: "gelu",
			patch_size: 16,
			projection_dim: 12,
		},
		unet: {
			block_out_channels: [8, 16],
			down_block_types: ["CrossAttnDownBlock2D", "DownBlock2D"],
			up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D"],
			layers_per_block: 1,
			attention_head_dim: [2, 2],
			norm_num_groups: 4,
			use_linear_projection: true,
		},
		scheduler: {
			_class_name: "DDIMScheduler",
			beta_start: 0.00085,
			beta_end: 0.012,
			beta_schedule: "scaled_linear",
			num_train_timesteps: 1000,
			prediction_type: "v_prediction",
			clip_sample: false,
			set_alpha_to_one: false,
			steps_offset: 1,
		},
	},
	stages: {
		classifier: { ...stage, batch: 8, ema: 0.9 },
		vae: { ...stage, ema: 0.9 },
		clip: { ...stage, learningRate: 1e-2, captionLength: 40 },
		unet: { ...stage, learningRate: 1e-2, batch: 8, ema: 0.9, sampleSteps: 2 },
	},
};

/** @param changes of stages' settings */
export function tinyRecipe(changes: Partial<Record<keyof Recipe["stages"], object>> = {}): Recipe {
	const stages = Object.fromEntries(
		Object.entries(TINY.stages).map(([name, settings]) => [
			name,
			{ ...settings, ...changes[name as keyof Recipe["stages"]] },
		]),
	);
	return parseRecipe({ ...TINY, stages });
}
