import { z } from "zod";
import { absent, badConfig, count, onlyValues, readConfig } from "./config.js";

/** AutoencoderKL as Stable Diffusion 1 and 2 use it. */
export interface AutoencoderConfig {
	/** Of pictures: 3. */
	inChannels: number;
	outChannels: number;
	latentChannels: number;
	/** From the highest resolution. */
	blockChannels: number[];
	/** Residual blocks per resolution in the encoder; the decoder has one more. */
	layers: number;
	groups: number;
	/** Latents for the UNet are the encoder's times this. */
	scalingFactor: number;
	/** Whether there are 1×1 convolutions after the encoder and before the decoder. */
	quantConv: boolean;
	postQuantConv: boolean;
	middleAttention: boolean;
}

const ignored = z.unknown().optional();

/** Defaults are those of diffusers' AutoencoderKL. */
const schema = z.object({
	in_channels: count.default(3),
	out_channels: count.default(3),
	latent_channels: count.default(4),
	block_out_channels: z.array(count).min(1).default([64]),
	layers_per_block: count.default(1),
	norm_num_groups: count.default(32),
	scaling_factor: z.number().positive().default(0.18215),
	shift_factor: onlyValues(0),
	use_quant_conv: z.boolean().default(true),
	use_post_quant_conv: z.boolean().default(true),
	mid_block_add_attention: z.boolean().default(true),
	down_block_types: z.array(onlyValues("DownEncoderBlock2D")).default(["DownEncoderBlock2D"]),
	up_block_types: z.array(onlyValues("UpDecoderBlock2D")).default(["UpDecoderBlock2D"]),
	act_fn: onlyValues("silu", "swish"),
	latents_mean: absent,
	latents_std: absent,
	// The size it was trained at, and what other pipelines do where 16 bits overflow; compute is f32 here.
	sample_size: ignored,
	force_upcast: ignored,
});

/** The widest head the attention kernels take. */
const WIDEST_HEAD = 512;

/**
 * Reads `vae/config.json`.
 *
 * @throws FormatError `BAD_CONFIG` naming the key
 */
export function readAutoencoderConfig(json: unknown, source = "vae/config.json"): AutoencoderConfig {
	const config = readConfig(schema, json, source);
	const channels = config.block_out_channels;
	for (const key of ["down_block_types", "up_block_types"] as const)
		if (config[key].length !== channels.length)
			throw badConfig(source, `"${key}" has ${config[key].length} values for ${channels.length} blocks`);
	for (const width of channels)
		if (width % config.norm_num_groups !== 0)
			throw badConfig(
				source,
				`"norm_num_groups" ${config.norm_num_groups} does not divide the ${width} channels of a block`,
			);
	if (config.mid_block_add_attention && channels.at(-1)! > WIDEST_HEAD)
		throw badConfig(
			source,
			`"block_out_channels" ends with ${channels.at(-1)}; attention over more than ${WIDEST_HEAD} channels is not supported`,
		);
	return {
		inChannels: config.in_channels,
		outChannels: config.out_channels,
		latentChannels: config.latent_channels,
		blockChannels: channels,
		layers: config.layers_per_block,
		groups: config.norm_num_groups,
		scalingFactor: config.scaling_factor,
		quantConv: config.use_quant_conv,
		postQuantConv: config.use_post_quant_conv,
		middleAttention: config.mid_block_add_attention,
	};
}
