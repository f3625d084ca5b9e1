// Names in the original single-file checkpoints (CompVis' latent diffusion, OpenCLIP), as the Hub's layout has them.
import type { AutoencoderConfig } from "../networks/autoencoder-config.js";
import type { UNetConfig } from "../networks/unet-config.js";
import { nested, type Renames } from "./rename.js";

const UNET_RESNET = {
	"in_layers.0": "norm1",
	"in_layers.2": "conv1",
	"emb_layers.1": "time_emb_proj",
	"out_layers.0": "norm2",
	"out_layers.3": "conv2",
	skip_connection: "conv_shortcut",
};

/** The UNet's modules; transformers have the same names inside. */
export function ldmUNetNames(config: UNetConfig): Renames {
	const renames: [string, string][] = [
		["time_embed.0", "time_embedding.linear_1"],
		["time_embed.2", "time_embedding.linear_2"],
		["input_blocks.0.0", "conv_in"],
		["out.0", "conv_norm_out"],
		["out.2", "conv_out"],
		...nested("middle_block.0", "mid_block.resnets.0", UNET_RESNET),
		["middle_block.1", "mid_block.attentions.0"],
		...nested("middle_block.2", "mid_block.resnets.1", UNET_RESNET),
	];
	let number = 1;
	config.down.forEach((block, level) => {
		for (let i = 0; i < block.layers; i++, number++) {
			renames.push(...nested(`input_blocks.${number}.0`, `down_blocks.${level}.resnets.${i}`, UNET_RESNET));
			if (block.attention) renames.push([`input_blocks.${number}.1`, `down_blocks.${level}.attentions.${i}`]);
		}
		if (level < config.down.length - 1)
			renames.push([`input_blocks.${number++}.0.op`, `down_blocks.${level}.downsamplers.0.conv`]);
	});
	number = 0;
	config.up.forEach((block, level) => {
		for (let i = 0; i < block.layers; i++, number++) {
			renames.push(...nested(`output_blocks.${number}.0`, `up_blocks.${level}.resnets.${i}`, UNET_RESNET));
			if (block.attention) renames.push([`output_blocks.${number}.1`, `up_blocks.${level}.attentions.${i}`]);
			const enlarges = i === block.layers - 1 && level < config.up.length - 1;
			if (enlarges)
				renames.push([
					`output_blocks.${number}.${block.attention ? 2 : 1}.conv`,
					`up_blocks.${level}.upsamplers.0.conv`,
				]);
		}
	});
	return new Map(renames);
}

const VAE_RESNET = { norm1: "norm1", conv1: "conv1", norm2: "norm2", conv2: "conv2", nin_shortcut: "conv_shortcut" };
const VAE_ATTENTION = { norm: "group_norm", q: "to_q", k: "to_k", v: "to_v", proj_out: "to_out.0" };

/** The autoencoder's modules. */
export function ldmAutoencoderNames(config: AutoencoderConfig): Renames {
	const levels = config.blockChannels.length;
	const renames: [string, string][] = [
		["quant_conv", "quant_conv"],
		["post_quant_conv", "post_quant_conv"],
	];
	for (const side of ["encoder", "decoder"] as const) {
		renames.push(
			[`${side}.conv_in`, `${side}.conv_in`],
			[`${side}.norm_out`, `${side}.conv_norm_out`],
			[`${side}.conv_out`, `${side}.conv_out`],
			...nested(`${side}.mid.block_1`, `${side}.mid_block.resnets.0`, VAE_RESNET),
			...nested(`${side}.mid.attn_1`, `${side}.mid_block.attentions.0`, VAE_ATTENTION),
			...nested(`${side}.mid.block_2`, `${side}.mid_block.resnets.1`, VAE_RESNET),
		);
		for (let level = 0; level < levels; level++) {
			const down = side === "encoder";
			const from = `${side}.${down ? "down" : "up"}.${level}`;
			// The decoder's levels are numbered from the highest resolution in one layout and from the lowest in the other.
			const to = down ? `${side}.down_blocks.${level}` : `${side}.up_blocks.${levels - 1 - level}`;
			const layers = down ? config.layers : config.layers + 1;
			for (let i = 0; i < layers; i++) renames.push(...nested(`${from}.block.${i}`, `${to}.resnets.${i}`, VAE_RESNET));
			renames.push(
				[`${from}.downsample.conv`, `${to}.downsamplers.0.conv`],
				[`${from}.upsample.conv`, `${to}.upsamplers.0.conv`],
			);
		}
	}
	return new Map(renames);
}

const OPENCLIP_LAYER = {
	ln_1: "layer_norm1",
	ln_2: "layer_norm2",
	"mlp.c_fc": "mlp.fc1",
	"mlp.c_proj": "mlp.fc2",
	"attn.out_proj": "self_attn.out_proj",
	// Stand for three tensors each; see `splitAttentionInput`.
	"attn.in_proj_weight": "self_attn.in_proj.weight",
	"attn.in_proj_bias": "self_attn.in_proj.bias",
};

/** The text encoder's modules as OpenCLIP names them; what the Hub's layout leaves out has no entry. */
export function openClipNames(layers: number): Renames {
	const renames: [string, string][] = [
		["token_embedding", "embeddings.token_embedding"],
		["positional_embedding", "embeddings.position_embedding.weight"],
		["ln_final", "final_layer_norm"],
	];
	for (let i = 0; i < layers; i++)
		renames.push(...nested(`transformer.resblocks.${i}`, `encoder.layers.${i}`, OPENCLIP_LAYER));
	return new Map(renames);
}
