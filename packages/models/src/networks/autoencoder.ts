// Stable Diffusion's autoencoder (AutoencoderKL): pictures to the moments of their latents, and latents to pictures.
import { attention, clamp, reshape, ShapeError, split, type Value, type Weights } from "@dreamdist/core";
import type { AutoencoderConfig } from "./autoencoder-config.js";
import { convLayer, groupNormLayer, linearLayer, parallelLinearLayers } from "./layers.js";
import { downsample, resnetBlock, upsample } from "./resnet.js";

const NORM_EPS = 1e-6;
const LOG_VARIANCE_RANGE = [-30, 20] as const;

/** Pixels per latent, in height and width. */
export function autoencoderFactor(config: AutoencoderConfig): number {
	return 2 ** (config.blockChannels.length - 1);
}

/** The normal distribution of a picture's latents, before scaling. */
export interface LatentMoments {
	/** [N, H/f, W/f, latentChannels] */
	mean: Value;
	/** Natural logarithm of the variance, clamped to [−30, 20]; the mean's shape. */
	logVariance: Value;
}

/**
 * @param pictures [N, H, W, inChannels] in [−1, 1]; H and W multiples of the factor
 * @throws ShapeError where the pictures do not fit
 */
export function encodePictures(weights: Weights, config: AutoencoderConfig, pictures: Value): LatentMoments {
	const factor = autoencoderFactor(config);
	const [, height, width, channels] = pictures.shape;
	if (pictures.rank !== 4 || channels !== config.inChannels || height! % factor !== 0 || width! % factor !== 0)
		throw new ShapeError(
			`encodePictures: expected [N, H, W, ${config.inChannels}] with H and W multiples of ${factor}, got ${pictures}`,
		);
	const scope = weights.scope("encoder");
	const moments = 2 * config.latentChannels;
	let x = convLayer(scope.scope("conv_in"), pictures, config.blockChannels[0]!);
	config.blockChannels.forEach((width, level) => {
		const block = scope.scope(`down_blocks.${level}`);
		for (let i = 0; i < config.layers; i++) x = resnet(block.scope(`resnets.${i}`), config, x, width);
		if (level < config.blockChannels.length - 1) x = downsample(block.scope("downsamplers.0"), x, 0);
	});
	x = middle(scope.scope("mid_block"), config, x);
	x = convLayer(scope.scope("conv_out"), norm(scope.scope("conv_norm_out"), config, x, "silu"), moments);
	if (config.quantConv) x = convLayer(weights.scope("quant_conv"), x, moments, { kernel: 1 });
	const [mean, logVariance] = split(x, -1, [config.latentChannels, config.latentChannels]) as [Value, Value];
	return { mean, logVariance: clamp(logVariance, ...LOG_VARIANCE_RANGE) };
}

/**
 * @param latents [N, h, w, latentChannels], before scaling
 * @returns [N, h·f, w·f, outChannels], in [−1, 1] but for overshoot
 * @throws ShapeError where the latents do not fit
 */
export function decodeLatents(weights: Weights, config: AutoencoderConfig, latents: Value): Value {
	if (latents.rank !== 4 || latents.shape[3] !== config.latentChannels)
		throw new ShapeError(`decodeLatents: expected [N, h, w, ${config.latentChannels}], got ${latents}`);
	const scope = weights.scope("decoder");
	const channels = config.blockChannels.toReversed();
	let x = latents;
	if (config.postQuantConv) x = convLayer(weights.scope("post_quant_conv"), x, config.latentChannels, { kernel: 1 });
	x = convLayer(scope.scope("conv_in"), x, channels[0]!);
	x = middle(scope.scope("mid_block"), config, x);
	channels.forEach((width, level) => {
		const block = scope.scope(`up_blocks.${level}`);
		for (let i = 0; i <= config.layers; i++) x = resnet(block.scope(`resnets.${i}`), config, x, width);
		if (level < channels.length - 1) x = upsample(block.scope("upsamplers.0"), x);
	});
	return convLayer(scope.scope("conv_out"), norm(scope.scope("conv_norm_out"), config, x, "silu"), config.outChannels);
}

function norm(weights: Weights, config: AutoencoderConfig, x: Value, activation: "none" | "silu"): Value {
	return groupNormLayer(weights, x, { groups: config.groups, eps: NORM_EPS, activation });
}

function resnet(weights: Weights, config: AutoencoderConfig, x: Value, channels: number): Value {
	return resnetBlock(weights, x, channels, { groups: config.groups, eps: NORM_EPS });
}

function middle(weights: Weights, config: AutoencoderConfig, input: Value): Value {
	const channels = input.shape.at(-1)!;
	const x = resnet(weights.scope("resnets.0"), config, input, channels);
	const mixed = config.middleAttention ? pixelAttention(weights.scope("attentions.0"), config, x) : x;
	return resnet(weights.scope("resnets.1"), config, mixed, channels);
}

/** One head as wide as the picture has channels. */
function pixelAttention(weights: Weights, config: AutoencoderConfig, x: Value): Value {
	const [batch, height, width, channels] = x.shape as [number, number, number, number];
	const tokens = [batch, height * width, channels];
	const normed = reshape(norm(weights.scope("group_norm"), config, x, "none"), tokens);
	const projections = ["to_q", "to_k", "to_v"].map((name) => ({ name, width: channels }));
	const [query, key, value] = parallelLinearLayers(weights, normed, projections) as [Value, Value, Value];
	const attended = weights.graph.named(weights.path, () => attention(query, key, value, { heads: 1 }));
	const output = linearLayer(weights.scope("to_out.0"), attended, channels, { residual: reshape(x, tokens) });
	return reshape(output, x.shape);
}
