import { z } from "zod";
import { absent, badConfig, choice, count, onlyValues, perBlock, readConfig } from "./config.js";

/** One resolution of the UNet, on its way down or up. */
export interface UNetBlock {
	channels: number;
	/** Residual blocks. */
	layers: number;
	/** Null: no attention at this resolution. */
	attention: UNetAttention | null;
}

export interface UNetAttention {
	heads: number;
	/** Transformer blocks per transformer. */
	layers: number;
	/** Width of the text features. */
	contextWidth: number;
}

/** UNet2DConditionModel as Stable Diffusion 1 and 2 use it. */
export interface UNetConfig {
	inChannels: number;
	outChannels: number;
	/** Latent height and width the model was trained at; null where the file does not say. */
	sampleSize: [height: number, width: number] | null;
	down: UNetBlock[];
	/** From the lowest resolution. */
	up: UNetBlock[];
	middle: UNetAttention;
	/** Width of the text features; all transformers share it. */
	contextWidth: number;
	groups: number;
	normEps: number;
	linearProjection: boolean;
	/** Width of the time embedding. */
	timeWidth: number;
	flipSinToCos: boolean;
	freqShift: number;
	/** 1, or 0 for the autoencoder's one-sided padding. */
	downsamplePadding: 0 | 1;
	convInKernel: number;
	convOutKernel: number;
}

const each = <T extends z.ZodType>(item: T) => z.union([item, z.array(item)]);
const oddKernel = z.union([z.literal(1), z.literal(3), z.literal(5), z.literal(7)]);
const ignored = z.unknown().optional();

/** Defaults are those of diffusers' UNet2DConditionModel. */
const schema = z.object({
	in_channels: count.default(4),
	out_channels: count.default(4),
	sample_size: z.union([count, z.tuple([count, count])]).nullish(),
	block_out_channels: z.array(count).min(1).default([320, 640, 1280, 1280]),
	down_block_types: z
		.array(choice("CrossAttnDownBlock2D", "DownBlock2D"))
		.default(["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"]),
	up_block_types: z
		.array(choice("CrossAttnUpBlock2D", "UpBlock2D"))
		.default(["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"]),
	layers_per_block: each(count).default(2),
	transformer_layers_per_block: each(count).default(1),
	// The number of heads, whatever it is called; diffusers kept the mistaken name.
	attention_head_dim: each(count).default(8),
	cross_attention_dim: each(count).default(1280),
	use_linear_projection: z.boolean().default(false),
	norm_num_groups: count.default(32),
	norm_eps: z.number().positive().default(1e-5),
	time_embedding_dim: count.nullish(),
	flip_sin_to_cos: z.boolean().default(true),
	freq_shift: z.number().default(0),
	downsample_padding: z.union([z.literal(0), z.literal(1)]).default(1),
	conv_in_kernel: oddKernel.default(3),
	conv_out_kernel: oddKernel.default(3),
	// Attention scores are computed in f32 here in any case.
	upcast_attention: z.boolean().nullish(),
	act_fn: onlyValues("silu", "swish"),
	mid_block_type: onlyValues("UNetMidBlock2DCrossAttn"),
	mid_block_scale_factor: onlyValues(1),
	center_input_sample: onlyValues(false),
	dual_cross_attention: onlyValues(false),
	only_cross_attention: onlyValues(false),
	mid_block_only_cross_attention: onlyValues(false),
	resnet_time_scale_shift: onlyValues("default"),
	resnet_skip_time_act: onlyValues(false),
	resnet_out_scale_factor: onlyValues(1),
	time_embedding_type: onlyValues("positional"),
	attention_type: onlyValues("default"),
	class_embeddings_concat: onlyValues(false),
	num_attention_heads: absent,
	reverse_transformer_layers_per_block: absent,
	class_embed_type: absent,
	num_class_embeds: absent,
	addition_embed_type: absent,
	encoder_hid_dim: absent,
	encoder_hid_dim_type: absent,
	time_embedding_act_fn: absent,
	timestep_post_act: absent,
	time_cond_proj_dim: absent,
	projection_class_embeddings_input_dim: absent,
	cross_attention_norm: absent,
	// Without effect unless one of the keys above is set, or in inference.
	addition_embed_type_num_heads: ignored,
	addition_time_embed_dim: ignored,
	dropout: ignored,
});

/**
 * Reads `unet/config.json`.
 *
 * @throws FormatError `BAD_CONFIG` naming the key
 */
export function readUNetConfig(json: unknown, source = "unet/config.json"): UNetConfig {
	const config = readConfig(schema, json, source);
	const channels = config.block_out_channels;
	const blocks = channels.length;
	const list = <T>(key: keyof typeof config, value: T | readonly T[]) => perBlock(value, blocks, key, source);
	const layers = list("layers_per_block", config.layers_per_block);
	const heads = list("attention_head_dim", config.attention_head_dim);
	const transformerLayers = list("transformer_layers_per_block", config.transformer_layers_per_block);
	const contextWidths = list("cross_attention_dim", config.cross_attention_dim);
	const downTypes = list("down_block_types", config.down_block_types);
	const upTypes = list("up_block_types", config.up_block_types);

	const attention = (i: number): UNetAttention => {
		checkHeads(channels[i]!, heads[i]!, source);
		return { heads: heads[i]!, layers: transformerLayers[i]!, contextWidth: contextWidths[i]! };
	};
	for (const width of channels)
		if (width % config.norm_num_groups !== 0)
			throw badConfig(
				source,
				`"norm_num_groups" ${config.norm_num_groups} does not divide the ${width} channels of a block`,
			);
	if (new Set(contextWidths).size > 1)
		throw badConfig(
			source,
			`"cross_attention_dim" has different widths (${contextWidths.join(", ")}), which is not supported`,
		);
	if (channels[0]! % 2 !== 0)
		throw badConfig(source, `"block_out_channels" begins with ${channels[0]}; the time embedding needs an even number`);

	const size = config.sample_size ?? null;
	return {
		inChannels: config.in_channels,
		outChannels: config.out_channels,
		sampleSize: typeof size === "number" ? [size, size] : size,
		down: channels.map((width, i) => ({
			channels: width,
			layers: layers[i]!,
			attention: downTypes[i] === "CrossAttnDownBlock2D" ? attention(i) : null,
		})),
		up: channels.map((_, k) => {
			const i = blocks - 1 - k;
			return {
				channels: channels[i]!,
				layers: layers[i]! + 1,
				attention: upTypes[k] === "CrossAttnUpBlock2D" ? attention(i) : null,
			};
		}),
		middle: attention(blocks - 1),
		contextWidth: contextWidths[0]!,
		groups: config.norm_num_groups,
		normEps: config.norm_eps,
		linearProjection: config.use_linear_projection,
		timeWidth: config.time_embedding_dim ?? 4 * channels[0]!,
		flipSinToCos: config.flip_sin_to_cos,
		freqShift: config.freq_shift,
		downsamplePadding: config.downsample_padding,
		convInKernel: config.conv_in_kernel,
		convOutKernel: config.conv_out_kernel,
	};
}

/** The widest head the attention kernels take. */
const WIDEST_HEAD = 512;

function checkHeads(channels: number, heads: number, source: string): void {
	if (channels % heads !== 0)
		throw badConfig(source, `"attention_head_dim" gives ${heads} heads, which do not divide ${channels} channels`);
	if (channels / heads > WIDEST_HEAD)
		throw badConfig(
			source,
			`"attention_head_dim" gives ${heads} heads of ${channels / heads} channels; at most ${WIDEST_HEAD} are supported`,
		);
}
