// Layers whose weights come through the door under the checkpoint's names: "weight" and, where there is one, "bias".
import {
	type Activation,
	type ConvActivation,
	conv2d,
	groupNorm,
	layerNorm,
	linear,
	type Padding,
	split,
	type Value,
	type Weights,
} from "@dreamdist/core";

export interface LinearLayerOptions {
	/** Default true. */
	bias?: boolean;
	/** `geglu`: the weight has twice `width` rows, values then gates. */
	activation?: Activation;
	residual?: Value | null;
}

/** x [..., in] → [..., width]. */
export function linearLayer(weights: Weights, x: Value, width: number, options: LinearLayerOptions = {}): Value {
	const { bias = true, activation = "none", residual = null } = options;
	const rows = activation === "geglu" ? 2 * width : width;
	return weights.graph.named(weights.path, () =>
		linear(x, weights.get("weight", [rows, x.shape.at(-1)!]), {
			bias: bias ? weights.get("bias", [rows]) : null,
			activation,
			residual,
		}),
	);
}

/** One of several linear layers that read the same input. */
export interface ParallelLayer {
	/** Relative to the scope. */
	readonly name: string;
	readonly width: number;
}

/** Linear layers of the same input as one product: x [..., in] → one [..., width] per layer, side by side in memory. */
export function parallelLinearLayers(
	weights: Weights,
	x: Value,
	layers: readonly ParallelLayer[],
	options: { bias?: boolean } = {},
): Value[] {
	const { bias = true } = options;
	const inputs = x.shape.at(-1)!;
	const name = [weights.path, layers.length > 4 ? `${layers.length} layers` : layers.map((l) => l.name).join("+")];
	const y = weights.graph.named(name.filter((part) => part !== "").join("."), () =>
		linear(x, weights.stack(layers.map((layer) => ({ name: `${layer.name}.weight`, shape: [layer.width, inputs] }))), {
			bias: bias ? weights.stack(layers.map((layer) => ({ name: `${layer.name}.bias`, shape: [layer.width] }))) : null,
		}),
	);
	return split(
		y,
		-1,
		layers.map((layer) => layer.width),
	);
}

export interface ConvLayerOptions {
	/** Default 3. */
	kernel?: number;
	stride?: number;
	/** Default (kernel − 1) / 2 on every side: the picture keeps its size. */
	padding?: Padding;
	/** Enlarge the picture twice first. */
	upsample?: 1 | 2;
	activation?: ConvActivation;
	/** [N, channels], added to every pixel of its picture. */
	channelVector?: Value | null;
	residual?: Value | null;
}

/** Pictures x [N, H, W, in] → [N, H', W', channels], with bias. */
export function convLayer(weights: Weights, x: Value, channels: number, options: ConvLayerOptions = {}): Value {
	const { kernel = 3, stride = 1, padding = (kernel - 1) / 2, ...rest } = options;
	return weights.graph.named(weights.path, () =>
		conv2d(x, weights.get("weight", [channels, x.shape.at(-1)!, kernel, kernel]), {
			bias: weights.get("bias", [channels]),
			stride,
			padding,
			...rest,
		}),
	);
}

export interface GroupNormLayerOptions {
	groups: number;
	eps: number;
	activation?: "none" | "silu";
}

/** Normalises groups of neighbouring channels of x [N, ..., C]. */
export function groupNormLayer(weights: Weights, x: Value, options: GroupNormLayerOptions): Value {
	const channels = x.shape.at(-1)!;
	return weights.graph.named(weights.path, () =>
		groupNorm(x, { weight: weights.get("weight", [channels]), bias: weights.get("bias", [channels]), ...options }),
	);
}

/** Normalises the rows of x [..., C]. */
export function layerNormLayer(weights: Weights, x: Value, eps: number): Value {
	const channels = x.shape.at(-1)!;
	return weights.graph.named(weights.path, () =>
		layerNorm(x, { weight: weights.get("weight", [channels]), bias: weights.get("bias", [channels]), eps }),
	);
}
