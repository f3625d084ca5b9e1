// A small network with everything that a diffusion model has, its loss and one step of learning: what 16-bit activations are tested on.
import { toStorage } from "../../src/device/host.js";
import { sizeOf } from "../../src/graph/types.js";
import {
	add,
	attention,
	concat,
	conv2d,
	FrozenTensor,
	type Graph,
	gradients,
	groupNorm,
	layerNorm,
	linear,
	mean,
	mul,
	reshape,
	slice,
	square,
	std,
	sub,
	type Value,
} from "../../src/index.js";
import { seeded } from "../ops/support.js";

const WIDTH = 16;
const HEIGHT = 6;

/** Inputs of the network, by name. */
export function mixedInputs(seed: string): Record<string, Float64Array> {
	const random = seeded(seed);
	const normal = (count: number) => Float64Array.from({ length: count }, () => Math.fround(random.normal()));
	return {
		latents: normal(2 * HEIGHT * HEIGHT * 4),
		prompts: normal(2 * 5 * 24),
		target: normal(2 * HEIGHT * HEIGHT * 4),
		time: normal(2 * WIDTH),
		trained: normal(WIDTH * WIDTH).map((x) => x / 4),
	};
}

/** The same weights at every call; stored in f32. */
export class MixedWeights {
	readonly tensors = new Map<string, FrozenTensor>();

	get(graph: Graph, name: string, shape: readonly number[]): Value {
		let tensor = this.tensors.get(name);
		if (!tensor) {
			const random = seeded(name);
			const fan = sizeOf(shape.slice(1));
			const scale = shape.length > 1 ? 1 / Math.sqrt(fan) : 0.3;
			const data = toStorage(
				Float32Array.from({ length: sizeOf(shape) }, () => scale * random.normal()),
				"f32",
			);
			tensor = new FrozenTensor(name, [...shape], "f32", { data });
			this.tensors.set(name, tensor);
		}
		return graph.frozen(tensor);
	}
}

/** The prediction, the loss, and the gradients of the prompts and of a weight that is trained. */
export function mixedNetwork(graph: Graph, weights: MixedWeights): Record<string, Value> {
	const w = (name: string, ...shape: number[]) => weights.get(graph, name, shape);
	const latents = graph.input("latents", [2, HEIGHT, HEIGHT, 4]);
	const prompts = graph.input("prompts", [2, 5, 24]);
	const time = graph.input("time", [2, WIDTH]);
	const trained = graph.input("trained", [WIDTH, WIDTH]);
	const norm = (name: string, x: Value) =>
		groupNorm(x, {
			groups: 4,
			weight: add(w(`${name}.weight`, x.shape[3]!), 1),
			bias: w(`${name}.bias`, x.shape[3]!),
			activation: "silu",
		});

	const words = layerNorm(add(prompts, reshape(w("positions", 5 * 24), [1, 5, 24])), { weight: w("words.weight", 24) });
	const text = linear(words, w("text", 24, 24), { bias: w("text.bias", 24), activation: "quickGelu" });
	const features = add(text, prompts);

	const first = conv2d(latents, w("conv_in", WIDTH, 4, 3, 3), { padding: 1, bias: w("conv_in.bias", WIDTH) });
	const vector = linear(time, w("time", WIDTH, WIDTH), { bias: w("time.bias", WIDTH) });
	const hidden = conv2d(norm("norm1", first), w("conv1", WIDTH, WIDTH, 3, 3), { padding: 1, channelVector: vector });
	const block = add(first, hidden);
	const down = conv2d(block, w("down", WIDTH, WIDTH, 3, 3), { padding: 1, stride: 2 });

	const rows = reshape(down, [2, 9, WIDTH]);
	const normed = layerNorm(rows, { weight: w("rows.weight", WIDTH) });
	const qkv = linear(normed, w("qkv", 3 * WIDTH, WIDTH));
	const part = (i: number) => slice(qkv, 2, i * WIDTH, WIDTH);
	const attended = add(rows, linear(attention(part(0), part(1), part(2), { heads: 2 }), trained));
	const keys = linear(features, w("keys", WIDTH, 24));
	const values = linear(features, w("values", WIDTH, 24));
	const crossed = add(attended, attention(linear(attended, w("queries", WIDTH, WIDTH)), keys, values, { heads: 2 }));
	const gated = linear(layerNorm(crossed), w("ff1", 8 * WIDTH, WIDTH), {
		bias: w("ff1.bias", 8 * WIDTH),
		activation: "geglu",
	});
	const fed = linear(gated, w("ff2", WIDTH, 4 * WIDTH), { residual: crossed });

	const up = conv2d(reshape(fed, [2, 3, 3, WIDTH]), w("up", WIDTH, WIDTH, 3, 3), { padding: 1, upsample: 2 });
	const joined = concat([up, block], 3);
	const prediction = conv2d(norm("norm2", joined), w("conv_out", 4, 2 * WIDTH, 3, 3), { padding: 1 });

	const spread = mean(std(features, [0]));
	const loss = add(mean(square(sub(prediction, graph.input("target", prediction.shape)))), mul(spread, 0.1));
	const [promptGrad, weightGrad] = gradients(loss, [prompts, trained]);
	return { prediction, loss, promptGrad: promptGrad!, weightGrad: weightGrad! };
}
