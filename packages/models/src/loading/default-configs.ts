// Configurations of the published models, for checkpoints that come as one file and for `init`. Values as in the models' own folders.

/** The JSON files of a model folder, by component. */
export interface ModelConfigs {
	unet: Record<string, unknown>;
	vae: Record<string, unknown>;
	text_encoder: Record<string, unknown>;
	scheduler: Record<string, unknown>;
}

const DOWN = ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"];
const UP = ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"];

const unet = {
	_class_name: "UNet2DConditionModel",
	act_fn: "silu",
	attention_head_dim: [5, 10, 20, 20],
	block_out_channels: [320, 640, 1280, 1280],
	center_input_sample: false,
	cross_attention_dim: 1024,
	down_block_types: DOWN,
	downsample_padding: 1,
	dual_cross_attention: false,
	flip_sin_to_cos: true,
	freq_shift: 0,
	in_channels: 4,
	layers_per_block: 2,
	mid_block_scale_factor: 1,
	norm_eps: 1e-5,
	norm_num_groups: 32,
	only_cross_attention: false,
	out_channels: 4,
	sample_size: 96,
	up_block_types: UP,
	upcast_attention: true,
	use_linear_projection: true,
};

const vae = {
	_class_name: "AutoencoderKL",
	act_fn: "silu",
	block_out_channels: [128, 256, 512, 512],
	down_block_types: new Array(4).fill("DownEncoderBlock2D"),
	in_channels: 3,
	latent_channels: 4,
	layers_per_block: 2,
	norm_num_groups: 32,
	out_channels: 3,
	sample_size: 768,
	scaling_factor: 0.18215,
	up_block_types: new Array(4).fill("UpDecoderBlock2D"),
};

const textEncoder = {
	architectures: ["CLIPTextModel"],
	hidden_act: "gelu",
	hidden_size: 1024,
	intermediate_size: 4096,
	layer_norm_eps: 1e-5,
	max_position_embeddings: 77,
	model_type: "clip_text_model",
	num_attention_heads: 16,
	num_hidden_layers: 23,
	vocab_size: 49408,
};

const betas = {
	beta_end: 0.012,
	beta_schedule: "scaled_linear",
	beta_start: 0.00085,
	num_train_timesteps: 1000,
	set_alpha_to_one: false,
	steps_offset: 1,
};

const ddim = { _class_name: "DDIMScheduler", ...betas, clip_sample: false, prediction_type: "v_prediction" };
const pndm = { _class_name: "PNDMScheduler", ...betas, skip_prk_steps: true, prediction_type: "epsilon" };

/** Stable Diffusion 2.1 (768 px, v-prediction), 2.1-base (512 px) and 1.5, and a small network with 2.1's architecture. */
export const DEFAULT_CONFIGS = {
	sd21: { unet, vae, text_encoder: textEncoder, scheduler: ddim },
	"sd21-base": {
		unet: { ...unet, sample_size: 64, upcast_attention: false },
		vae: { ...vae, sample_size: 512 },
		text_encoder: textEncoder,
		scheduler: pndm,
	},
	sd15: {
		unet: {
			...unet,
			attention_head_dim: 8,
			cross_attention_dim: 768,
			sample_size: 64,
			upcast_attention: false,
			use_linear_projection: false,
		},
		vae: { ...vae, sample_size: 512 },
		text_encoder: {
			...textEncoder,
			hidden_act: "quick_gelu",
			hidden_size: 768,
			intermediate_size: 3072,
			num_attention_heads: 12,
			num_hidden_layers: 12,
		},
		scheduler: pndm,
	},
	tiny: {
		unet: {
			...unet,
			attention_head_dim: [1, 2, 2, 2],
			block_out_channels: [32, 64, 128, 128],
			cross_attention_dim: 64,
			sample_size: 8,
		},
		vae: { ...vae, block_out_channels: [32, 64, 64, 64], sample_size: 64 },
		text_encoder: {
			...textEncoder,
			hidden_size: 64,
			intermediate_size: 256,
			num_attention_heads: 2,
			num_hidden_layers: 3,
		},
		scheduler: ddim,
	},
} as const satisfies Record<string, ModelConfigs>;

export type DefaultConfigName = keyof typeof DEFAULT_CONFIGS;
