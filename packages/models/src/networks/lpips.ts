// LPIPS (Zhang et al. 2018), version 0.1: how far apart two pictures are in a classifier's features.
import {
	add,
	conv2d,
	div,
	maxPool2d,
	mean,
	reshape,
	slice,
	sqrt,
	square,
	sub,
	sum,
	type Value,
	type Weights,
} from "@dreamdist/core";
import { convLayer } from "./layers.js";

export type LpipsNetwork = "alex" | "vgg";

interface Convolution {
	/** Its place in torchvision's `features`. */
	readonly index: number;
	readonly channels: number;
	readonly kernel: number;
	readonly stride: number;
	readonly padding: number;
	/** A max pool comes before it. */
	readonly pooled?: boolean;
	/** Its features are compared. */
	readonly compared?: boolean;
}

const conv3 = (index: number, channels: number, marks: { pooled?: true; compared?: true } = {}): Convolution => ({
	index,
	channels,
	kernel: 3,
	stride: 1,
	padding: 1,
	...marks,
});

/** torchvision's AlexNet and VGG-16, up to the last features that are compared. */
const NETWORKS: Readonly<Record<LpipsNetwork, { pool: number; layers: readonly Convolution[] }>> = {
	alex: {
		pool: 3,
		layers: [
			{ index: 0, channels: 64, kernel: 11, stride: 4, padding: 2, compared: true },
			{ index: 3, channels: 192, kernel: 5, stride: 1, padding: 2, pooled: true, compared: true },
			conv3(6, 384, { pooled: true, compared: true }),
			conv3(8, 256, { compared: true }),
			conv3(10, 256, { compared: true }),
		],
	},
	vgg: {
		pool: 2,
		layers: [
			conv3(0, 64),
			conv3(2, 64, { compared: true }),
			conv3(5, 128, { pooled: true }),
			conv3(7, 128, { compared: true }),
			conv3(10, 256, { pooled: true }),
			conv3(12, 256),
			conv3(14, 256, { compared: true }),
			conv3(17, 512, { pooled: true }),
			conv3(19, 512),
			conv3(21, 512, { compared: true }),
			conv3(24, 512, { pooled: true }),
			conv3(26, 512),
			conv3(28, 512, { compared: true }),
		],
	},
};

const SHIFT = [-0.03, -0.088, -0.188];
const SCALE = [0.458, 0.448, 0.45];
/** Keeps the direction of features that are all zero finite. */
const NORM_EPS = 1e-10;

/**
 * The features that are compared, each pixel's divided by its length.
 *
 * @param pictures [B, H, W, 3] in [−1, 1]
 * @returns one value [B, h, w, C] per layer
 */
export function lpipsFeatures(weights: Weights, network: LpipsNetwork, pictures: Value): Value[] {
	const { graph } = weights;
	const { pool, layers } = NETWORKS[network];
	const features: Value[] = [];
	let x = div(sub(pictures, graph.constant(SHIFT, [3])), graph.constant(SCALE, [3]));
	for (const { index, channels, kernel, stride, padding, pooled, compared } of layers) {
		if (pooled) x = maxPool2d(x, { kernel: pool, stride: 2 });
		x = convLayer(weights.scope(`features.${index}`), x, channels, { kernel, stride, padding, activation: "relu" });
		if (!compared) continue;
		const length = sqrt(sum(square(x), -1, { keepDims: true }));
		features.push(div(x, add(length, NORM_EPS)));
	}
	return features;
}

/**
 * Distances between pictures pair by pair.
 *
 * @param a features of the first pictures, as `lpipsFeatures` gives them
 * @param b of the second, equally many
 * @returns per layer [B]; the distance is their sum
 */
export function lpipsDistances(weights: Weights, a: readonly Value[], b: readonly Value[]): Value[] {
	return a.map((features, layer) => {
		const channels = features.shape.at(-1)!;
		const name = `lin${layer}.model.1`;
		const mix = weights.scope(name).get("weight", [1, channels, 1, 1]);
		const difference = square(sub(features, b[layer]!));
		const mixed = weights.graph.named(name, () => conv2d(difference, mix));
		return reshape(mean(mixed, [1, 2]), [features.shape[0]!]);
	});
}

/** The distances of one batch's first half to its second half, [B/2] per layer. */
export function lpipsOfHalves(weights: Weights, network: LpipsNetwork, pictures: Value): Value[] {
	const half = pictures.shape[0]! / 2;
	const features = lpipsFeatures(weights, network, pictures);
	const part = (start: number) => features.map((value) => slice(value, 0, start, half));
	return lpipsDistances(weights, part(0), part(half));
}
