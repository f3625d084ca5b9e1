// The weights of a stage as state on a device, with AdamW's moments and their moving average.
import {
	adamw,
	clipByGlobalNorm,
	type Device,
	ema,
	type Graph,
	gradients,
	type InputData,
	type Optimizer,
	type Shape,
	type Tensor,
	trainableWeights,
	type Value,
	type Weights,
} from "@dreamdist/core";
import { type InitialOverride, initialWeight } from "./initial-weights.js";
import type { TrainingSettings } from "./recipe.js";

/** Moved by the network itself while it trains, not by the optimiser. */
const STATISTIC = /\.running_(mean|var)$/;

export interface TrainedWeightsOptions {
	seed: number;
	constant?: InitialOverride;
}

/** A loss, and how it is written. */
export interface WrittenLoss {
	readonly loss: Value;
	/** Scalars for metrics.jsonl. */
	readonly metrics: Readonly<Record<string, Value>>;
	/** New running statistics by name. */
	readonly statistics?: ReadonlyMap<string, Value>;
}

export class TrainedWeights implements Disposable {
	private constructor(
		/** By name. */
		readonly tensors: ReadonlyMap<string, Tensor>,
		/** The moving average, or the weights themselves where a recipe asks for none. */
		readonly averages: ReadonlyMap<string, Tensor>,
		private readonly trained: readonly string[],
		private readonly optimizer: Optimizer,
		private readonly settings: TrainingSettings,
	) {}

	static async create(
		device: Device,
		shapes: ReadonlyMap<string, Shape>,
		settings: TrainingSettings,
		options: TrainedWeightsOptions,
	): Promise<TrainedWeights> {
		const { seed, constant } = options;
		const tensors = new Map<string, Tensor>();
		const averages = new Map<string, Tensor>();
		let index = 0;
		for (const [name, shape] of shapes) {
			const data = initialWeight(name, shape, index++, seed, constant);
			tensors.set(name, await device.tensor(shape, { name, data }));
			const average =
				settings.ema === null ? tensors.get(name)! : await device.tensor(shape, { name: `${name}.ema`, data });
			averages.set(name, average);
		}
		const trained = [...shapes.keys()].filter((name) => !STATISTIC.test(name));
		const { beta1, beta2, weightDecay } = settings;
		const optimizer = await adamw(
			trained.map((name) => ({
				tensor: tensors.get(name)!,
				// Scales, biases and embeddings of one axis have no reason to be small.
				weightDecay: shapes.get(name)!.length < 2 ? 0 : 1,
			})),
			{ beta1, beta2, weightDecay },
		);
		return new TrainedWeights(tensors, averages, trained, optimizer, settings);
	}

	/** Numbers in all weights. */
	get parameters(): number {
		let total = 0;
		for (const { shape } of this.tensors.values()) total += shape.reduce((a, b) => a * b, 1);
		return total;
	}

	/** A door to the weights, for a loss. */
	open(graph: Graph): Weights {
		return trainableWeights(graph, this.tensors);
	}

	/** A door to the averages, for measuring. */
	openAverages(graph: Graph): Weights {
		return trainableWeights(graph, this.averages, "averaged weights");
	}

	/** Writes gradients, clipping, AdamW and the averages behind a loss. */
	writeStep(graph: Graph, { loss, metrics, statistics }: WrittenLoss): Record<string, Value> {
		const parameters = this.trained.map((name) => graph.state(this.tensors.get(name)!));
		const grads = gradients(loss, parameters);
		const { norm, scale } = clipByGlobalNorm(grads, this.settings.maxGradientNorm);
		const updated = this.optimizer.update(graph, grads, { gradScale: scale });
		for (const [name, value] of statistics ?? []) graph.assign(this.tensors.get(name)!, value);
		if (this.settings.ema !== null) {
			const decay = graph.input("emaDecay");
			this.trained.forEach((name, i) => {
				ema(this.averages.get(name)!, updated[i]!, decay);
			});
			for (const [name, value] of statistics ?? []) graph.assign(this.averages.get(name)!, value);
		}
		return { loss, gradientNorm: norm, ...metrics };
	}

	/** The program inputs of a step. */
	inputs(step: number, learningRate: number): Record<string, InputData> {
		const inputs: Record<string, InputData> = { ...this.optimizer.inputs(step, learningRate) };
		// A short memory at first, so that the random start is soon forgotten.
		if (this.settings.ema !== null) inputs.emaDecay = Math.min(this.settings.ema, (1 + step) / (10 + step));
		return inputs;
	}

	/** Everything that training changes, by the names of a checkpoint. */
	get state(): Map<string, Tensor> {
		const state = new Map<string, Tensor>(this.tensors);
		for (const moment of this.optimizer.moments.flat()) state.set(moment.name, moment);
		if (this.settings.ema !== null) for (const [name, tensor] of this.averages) state.set(`${name}.ema`, tensor);
		return state;
	}

	dispose(): void {
		this.optimizer.dispose();
		for (const tensor of new Set([...this.tensors.values(), ...this.averages.values()])) tensor.dispose();
	}

	[Symbol.dispose](): void {
		this.dispose();
	}
}
