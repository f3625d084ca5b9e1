// Stable Diffusion's UNet (UNet2DConditionModel): predicts the noise (or velocity) in latents, guided by text features.
import { concat, type Recompute, ShapeError, timestepEmbedding, type Value, type Weights } from "@dreamdist/core";
import { convLayer, groupNormLayer, linearLayer } from "./layers.js";
import { downsample, resnetBlock, upsample } from "./resnet.js";
import { type CrossAttention, repeatRows, spatialTransformer, TextContext } from "./transformer.js";
import type { UNetAttention, UNetBlock, UNetConfig } from "./unet-config.js";

export interface UNetInputs {
	/** Noisy latents [B, h, w, inChannels]; h and w are multiples of 2^(levels − 1). */
	latents: Value;
	/** [B], f32; samplers may ask for times between the training timesteps. */
	timesteps: Value;
	/** Text features [B·S, L, contextWidth]; rows b·S … b·S + S − 1 go with latents b. */
	context: Value;
}

/** Height and width of the latents must be multiples of this. */
export function unetSizeMultiple(config: UNetConfig): number {
	return 2 ** (config.down.length - 1);
}

/**
 * The network's prediction for every pair of latents and text features. Everything before the first cross-attention is computed once per
 * latents, however many text features they are paired with.
 *
 * @returns [B·S, h, w, outChannels]
 * @throws ShapeError where the inputs do not fit the configuration
 */
export function unet(
	weights: Weights,
	config: UNetConfig,
	inputs: UNetInputs,
	options: { recompute?: Recompute } = {},
): Value {
	checkInputs(config, inputs);
	return new UNet(weights, config, inputs, options.recompute ?? "nothing").predict();
}

function checkInputs(config: UNetConfig, { latents, timesteps, context }: UNetInputs): void {
	const multiple = unetSizeMultiple(config);
	const [batch, height, width, channels] = latents.shape;
	if (latents.rank !== 4 || channels !== config.inChannels || height! % multiple !== 0 || width! % multiple !== 0)
		throw new ShapeError(
			`unet: expected latents [B, h, w, ${config.inChannels}] with h and w multiples of ${multiple}, got ${latents}`,
		);
	if (timesteps.rank !== 1 || timesteps.shape[0] !== batch)
		throw new ShapeError(`unet: expected timesteps [${batch}], got ${timesteps}`);
	if (context.rank !== 3 || context.shape[2] !== config.contextWidth || context.shape[0]! % batch! !== 0)
		throw new ShapeError(
			`unet: expected text features [a multiple of ${batch}, L, ${config.contextWidth}], got ${context}`,
		);
}

/** Every cross-attention in the order of the network. */
function crossAttentions(path: string, config: UNetConfig): CrossAttention[] {
	const attentions: CrossAttention[] = [];
	const add = (module: string, channels: number, layers: number) => {
		for (let i = 0; i < layers; i++) {
			const name = `${module}.transformer_blocks.${i}.attn2`;
			attentions.push({ path: path === "" ? name : `${path}.${name}`, channels });
		}
	};
	const addBlocks = (side: string, blocks: readonly UNetBlock[]) => {
		blocks.forEach(({ channels, layers, attention }, level) => {
			for (let i = 0; attention && i < layers; i++) add(`${side}.${level}.attentions.${i}`, channels, attention.layers);
		});
	};
	addBlocks("down_blocks", config.down);
	add("mid_block.attentions.0", config.down.at(-1)!.channels, config.middle.layers);
	addBlocks("up_blocks", config.up);
	return attentions;
}

/** One trace of the network: what its parts share. */
class UNet {
	/** silu of the time embedding [B, timeWidth], from which every residual block makes its own vector. */
	private readonly time: Value;
	private readonly context: TextContext;
	/** Outputs on the way down, which the way up takes back in reverse. */
	private readonly skips: Value[] = [];

	constructor(
		private readonly weights: Weights,
		private readonly config: UNetConfig,
		private readonly inputs: UNetInputs,
		private readonly recompute: Recompute,
	) {
		this.time = this.embedTime();
		this.context = new TextContext(weights, inputs.context, crossAttentions(weights.path, config));
	}

	predict(): Value {
		const { config, weights } = this;
		let x = convLayer(weights.scope("conv_in"), this.inputs.latents, config.down[0]!.channels, {
			kernel: config.convInKernel,
		});
		this.skips.push(x);
		x = this.goDown(x);
		x = this.middle(x);
		x = this.goUp(x);
		const normed = groupNormLayer(weights.scope("conv_norm_out"), x, {
			groups: config.groups,
			eps: config.normEps,
			activation: "silu",
		});
		return convLayer(weights.scope("conv_out"), normed, config.outChannels, { kernel: config.convOutKernel });
	}

	private embedTime(): Value {
		const { config, weights } = this;
		const waves = timestepEmbedding(this.inputs.timesteps, config.down[0]!.channels, {
			flipSinToCos: config.flipSinToCos,
			downscaleFreqShift: config.freqShift,
		});
		const hidden = linearLayer(weights.scope("time_embedding.linear_1"), waves, config.timeWidth, {
			activation: "silu",
		});
		return linearLayer(weights.scope("time_embedding.linear_2"), hidden, config.timeWidth, { activation: "silu" });
	}

	private goDown(input: Value): Value {
		let x = input;
		this.config.down.forEach((block, level) => {
			const scope = this.weights.scope(`down_blocks.${level}`);
			for (let i = 0; i < block.layers; i++) {
				x = this.resnet(scope.scope(`resnets.${i}`), x, block.channels);
				if (block.attention) x = this.attention(scope.scope(`attentions.${i}`), x, block.attention);
				this.skips.push(x);
			}
			if (level < this.config.down.length - 1) {
				x = downsample(scope.scope("downsamplers.0"), x, this.config.downsamplePadding);
				this.skips.push(x);
			}
		});
		return x;
	}

	private middle(input: Value): Value {
		const scope = this.weights.scope("mid_block");
		const channels = input.shape.at(-1)!;
		let x = this.resnet(scope.scope("resnets.0"), input, channels);
		x = this.attention(scope.scope("attentions.0"), x, this.config.middle);
		return this.resnet(scope.scope("resnets.1"), x, channels);
	}

	private goUp(input: Value): Value {
		let x = input;
		this.config.up.forEach((block, level) => {
			const scope = this.weights.scope(`up_blocks.${level}`);
			for (let i = 0; i < block.layers; i++) {
				// Read as two halves: nothing is copied together.
				const joined = concat([x, this.forEveryContext(this.skips.pop()!)], -1);
				x = this.resnet(scope.scope(`resnets.${i}`), joined, block.channels);
				if (block.attention) x = this.attention(scope.scope(`attentions.${i}`), x, block.attention);
			}
			if (level < this.config.up.length - 1) x = upsample(scope.scope("upsamplers.0"), x);
		});
		return x;
	}

	private resnet(scope: Weights, x: Value, channels: number): Value {
		const { groups, normEps } = this.config;
		return this.block(() => {
			const vector = linearLayer(scope.scope("time_emb_proj"), this.time, channels);
			const timeVector = repeatRows(vector, x.shape[0]! / vector.shape[0]!);
			return resnetBlock(scope, x, channels, { groups, eps: normEps, timeVector });
		});
	}

	private attention(scope: Weights, x: Value, { heads, layers }: UNetAttention): Value {
		const { groups, linearProjection } = this.config;
		const options = { heads, layers, groups, linearProjection, recomputeGeglu: this.recompute === "geglu" };
		// The first one pairs latents with text features; from there on there is a row per pair.
		return this.block(() => spatialTransformer(scope, x, this.context, options));
	}

	private block(write: () => Value): Value {
		return this.recompute === "blocks" ? this.weights.graph.checkpoint(write) : write();
	}

	/** A value of the latents' batch, or already of the pairs', as one of the pairs' batch. */
	private forEveryContext(x: Value): Value {
		return repeatRows(x, this.inputs.context.shape[0]! / x.shape[0]!);
	}
}
