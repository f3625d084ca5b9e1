// The residual block of diffusion networks, and the convolutions between resolutions; diffusers' names.
import type { Value, Weights } from "@dreamdist/core";
import { convLayer, groupNormLayer } from "./layers.js";

export interface ResnetOptions {
	groups: number;
	eps: number;
	/** [N, channels], added between the two convolutions: the projected time embedding. */
	timeVector?: Value | null;
}

/**
 * x + conv2(silu(norm2(conv1(silu(norm1(x))) + time))), x through a 1×1 convolution where the width changes. A concat of two values is read
 * as its halves.
 *
 * @param x [N, H, W, C]
 * @returns [N, H, W, channels]
 */
export function resnetBlock(weights: Weights, x: Value, channels: number, options: ResnetOptions): Value {
	const { groups, eps, timeVector = null } = options;
	const norm = (name: string, value: Value) =>
		groupNormLayer(weights.scope(name), value, { groups, eps, activation: "silu" });
	const hidden = convLayer(weights.scope("conv1"), norm("norm1", x), channels, { channelVector: timeVector });
	const shortcut =
		x.shape.at(-1) === channels ? x : convLayer(weights.scope("conv_shortcut"), x, channels, { kernel: 1 });
	return convLayer(weights.scope("conv2"), norm("norm2", hidden), channels, { residual: shortcut });
}

/** Halves height and width. Padding 0 stands for one row below and one column at the right, as in the autoencoder. */
export function downsample(weights: Weights, x: Value, padding: number): Value {
	return convLayer(weights.scope("conv"), x, x.shape.at(-1)!, {
		stride: 2,
		padding: padding === 0 ? [0, 0, 1, 1] : padding,
	});
}

/** Doubles height and width: nearest neighbour, then a convolution. */
export function upsample(weights: Weights, x: Value): Value {
	return convLayer(weights.scope("conv"), x, x.shape.at(-1)!, { upsample: 2 });
}
