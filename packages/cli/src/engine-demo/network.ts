// The demo's network: two convolutions with group norm and SiLU, the mean over the picture, and a linear layer.
import {
	conv2d,
	type Device,
	type Graph,
	groupNorm,
	linear,
	mean,
	type OptimizedParameter,
	type Shape,
	type Tensor,
	type Value,
} from "@dreamdist/core";
import { CLASSES, type RandomSource, SIDE } from "./shapes.js";

const WIDTH = 16;

/** Every weight by its name, and its shape. Kernels are [out, in, height, width], as checkpoints store them. */
const SHAPES = {
	"conv1.weight": [WIDTH, 1, 3, 3],
	"norm1.weight": [WIDTH],
	"norm1.bias": [WIDTH],
	"conv2.weight": [2 * WIDTH, WIDTH, 3, 3],
	"norm2.weight": [2 * WIDTH],
	"norm2.bias": [2 * WIDTH],
	"head.weight": [CLASSES.length, 2 * WIDTH],
	"head.bias": [CLASSES.length],
} as const satisfies Record<string, Shape>;

type WeightName = keyof typeof SHAPES;
export type Weights = Readonly<Record<WeightName, Tensor>>;

/** New weights: kernels normal with variance 1 / inputs, scales one, biases zero. */
export async function createWeights(device: Device, random: RandomSource): Promise<Weights> {
	const weights: Partial<Record<WeightName, Tensor>> = {};
	for (const [name, shape] of Object.entries(SHAPES) as [WeightName, readonly number[]][]) {
		const [, ...inputs] = shape;
		const count = shape.reduce((product, size) => product * size, 1);
		const scale = Math.sqrt(1 / inputs.reduce((product, size) => product * size, 1));
		const first = shape.length > 1 ? () => scale * random.normal() : () => (name.endsWith(".bias") ? 0 : 1);
		weights[name] = await device.tensor(shape, { name, data: Float32Array.from({ length: count }, first) });
	}
	return weights as Weights;
}

/** What the optimiser trains: scales and biases without decay. */
export function parameters(weights: Weights): OptimizedParameter[] {
	return Object.values(weights).map((tensor) => ({ tensor, weightDecay: tensor.shape.length > 1 ? 1 : 0 }));
}

/** The class scores [count, classes] of pictures [count, SIDE, SIDE, 1]. */
export function classify(graph: Graph, images: Value, weights: Weights): Value {
	const weight = (name: WeightName) => graph.state(weights[name]);
	const normed = (x: Value, name: "norm1" | "norm2") =>
		groupNorm(x, { groups: 4, weight: weight(`${name}.weight`), bias: weight(`${name}.bias`), activation: "silu" });
	const wide = normed(conv2d(images, weight("conv1.weight"), { padding: 1 }), "norm1");
	const deep = normed(conv2d(wide, weight("conv2.weight"), { padding: 1, stride: 2 }), "norm2");
	return linear(mean(deep, [1, 2]), weight("head.weight"), { bias: weight("head.bias") });
}

/** The shape of a batch of pictures. */
export function imagesShape(count: number): Shape {
	return [count, SIDE, SIDE, 1];
}
