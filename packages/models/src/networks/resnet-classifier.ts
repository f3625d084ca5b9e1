// ResNets in torchvision's layout, with any number of heads.
import {
	add,
	batchNorm,
	cast,
	conv2d,
	maxPool2d,
	mean,
	relu,
	ShapeError,
	type Value,
	type Weights,
} from "@dreamdist/core";
import { linearLayer } from "./layers.js";
import type { ResnetClassifierConfig } from "./resnet-classifier-config.js";

export interface ResnetClassifierResult {
	/** Mean over the last map, [N, C]. */
	features: Value;
	/** Of each head, [N, classes]. */
	logits: Record<string, Value>;
	/** In training, the new running statistics of every batch norm by their full names; else empty. */
	statistics: Map<string, Value>;
}

/** @param pictures [N, H, W, 3] */
export function resnetClassifier(
	weights: Weights,
	config: ResnetClassifierConfig,
	pictures: Value,
	options: { training?: boolean } = {},
): ResnetClassifierResult {
	if (pictures.rank !== 4 || pictures.shape[3] !== 3)
		throw new ShapeError(`resnetClassifier: expected pictures [N, H, W, 3], got ${pictures}`);
	return new Resnet(weights, config, options.training ?? false).classify(pictures);
}

/** One trace of the network. */
class Resnet {
	private readonly statistics = new Map<string, Value>();

	constructor(
		private readonly weights: Weights,
		private readonly config: ResnetClassifierConfig,
		private readonly training: boolean,
	) {}

	classify(pictures: Value): ResnetClassifierResult {
		const { stem, stemChannels, layers, heads } = this.config;
		const small = stem === "small";
		let x = this.convNorm("conv1", "bn1", pictures, stemChannels, small ? 3 : 7, small ? 1 : 2, true);
		if (!small) x = maxPool2d(x, { kernel: 3, stride: 2, padding: 1 });
		layers.forEach((blocks, stage) => {
			for (let block = 0; block < blocks; block++)
				x = this.block(`layer${stage + 1}.${block}`, x, this.config.channels[stage]!, stage > 0 && block === 0 ? 2 : 1);
		});
		const features = mean(x, [1, 2]);
		const logits = Object.fromEntries(
			Object.entries(heads).map(([head, classes]) => [head, linearLayer(this.weights.scope(head), features, classes)]),
		);
		return { features, logits, statistics: this.statistics };
	}

	private block(name: string, x: Value, inner: number, stride: number): Value {
		const outer = inner * this.config.expansion;
		const layer = (index: number, from: Value, channels: number, kernel: number, step: number, activate: boolean) =>
			this.convNorm(`${name}.conv${index}`, `${name}.bn${index}`, from, channels, kernel, step, activate);
		const y =
			this.config.block === "basic"
				? layer(2, layer(1, x, inner, 3, stride, true), outer, 3, 1, false)
				: layer(3, layer(2, layer(1, x, inner, 1, 1, true), inner, 3, stride, true), outer, 1, 1, false);
		const changes = stride !== 1 || x.shape[3] !== outer;
		const shortcut = changes
			? this.convNorm(`${name}.downsample.0`, `${name}.downsample.1`, x, outer, 1, stride, false)
			: x;
		return relu(add(y, shortcut));
	}

	/** A convolution without bias, batch norm, and relu if asked for. */
	private convNorm(
		conv: string,
		norm: string,
		x: Value,
		channels: number,
		kernel: number,
		stride: number,
		activate: boolean,
	): Value {
		const { weights, config, training } = this;
		const weight = weights.get(`${conv}.weight`, [channels, x.shape[3]!, kernel, kernel]);
		return weights.graph.named(conv, () => {
			const scope = weights.scope(norm);
			const result = batchNorm(conv2d(x, weight, { stride, padding: (kernel - 1) / 2 }), {
				weight: scope.get("weight", [channels]),
				bias: scope.get("bias", [channels]),
				runningMean: cast(scope.get("running_mean", [channels]), "f32"),
				runningVariance: cast(scope.get("running_var", [channels]), "f32"),
				eps: config.batchNormEps,
				momentum: config.batchNormMomentum,
				training,
			});
			if (training) {
				this.statistics.set(`${scope.path}.running_mean`, result.runningMean);
				this.statistics.set(`${scope.path}.running_var`, result.runningVariance);
			}
			return activate ? relu(result.y) : result.y;
		});
	}
}
