// What a method changes about a model: weights in place of others, products of low rank added to some, and new words.
import {
	add,
	cast,
	concat,
	contentsOf,
	type FrozenModel,
	FrozenTensor,
	type Graph,
	matmul,
	mul,
	reshape,
	type Tensor,
	toStorage,
	type Value,
	WeightSet,
	type Weights,
	type WrappedWeight,
	wrapWeights,
} from "@dreamdist/core";
import type { Component } from "../loading/components.js";
import type { ClipTextConfig } from "../networks/clip-text-config.js";
import { asDenoiser, asTextEncoder, type OpenNetwork } from "../pipeline/networks.js";
import type { Pipeline } from "../pipeline/pipeline.js";
import { ExtendedTokenizer } from "./extended-tokenizer.js";

/** W + scale · up · down. */
export interface LowRank<T> {
	/** [r, inputs] */
	readonly down: T;
	/** [outputs, r] */
	readonly up: T;
	readonly scale: number;
}

/** By the weights' names in the network. */
export interface NetworkChange<T> {
	readonly replaced: ReadonlyMap<string, T>;
	readonly lowRank: ReadonlyMap<string, LowRank<T>>;
}

export interface LearnedWord<T> {
	/** What prompts call it. */
	readonly token: string;
	/** [n, d] */
	readonly vectors: T;
}

/** Of `Tensor`s while they are trained, of `FrozenTensor`s when they were read from files. */
export interface ModelChange<T> {
	readonly unet: NetworkChange<T>;
	readonly text: NetworkChange<T>;
	readonly words: readonly LearnedWord<T>[];
}

export const NO_CHANGE = { replaced: new Map<string, never>(), lowRank: new Map<string, never>() };

export const TOKEN_TABLE = "embeddings.token_embedding.weight";

export function isChanged<T>({ replaced, lowRank }: NetworkChange<T>): boolean {
	return replaced.size > 0 || lowRank.size > 0;
}

/** A network that reads what is being trained, as it is when a program runs. */
export function liveNetwork<Config>(
	{ config, weights }: OpenNetwork<Config>,
	change: NetworkChange<Tensor>,
): OpenNetwork<Config> {
	if (!isChanged(change)) return { config, weights };
	const wrap = ({ name, shape, inner }: WrappedWeight, graph: Graph): Value | null => {
		const replaced = change.replaced.get(name);
		if (replaced) return graph.state(replaced);
		const pair = change.lowRank.get(name);
		if (!pair) return null;
		const product = mul(matmul(graph.state(pair.up), graph.state(pair.down)), pair.scale);
		return add(cast(inner(), "f32"), reshape(product, shape));
	};
	return { config, weights: { open: (graph) => wrapWeights(weights.open(graph), (weight) => wrap(weight, graph)) } };
}

/** A network with frozen changes: low-rank products are added once, when a device packs the weight, and cost nothing after. */
export function changedNetwork<Config>(
	{ config, weights }: Component<Config>,
	change: NetworkChange<FrozenTensor>,
): Component<Config> {
	if (!isChanged(change)) return { config, weights };
	const tensors = new Map(weights.tensors);
	for (const [name, tensor] of change.replaced) tensors.set(name, tensor);
	for (const [name, pair] of change.lowRank) tensors.set(name, withProduct(tensors.get(name)!, pair));
	return { config, weights: new WeightSet(tensors, weights.origin) };
}

function withProduct(base: FrozenTensor, { down, up, scale }: LowRank<FrozenTensor>): FrozenTensor {
	return new FrozenTensor(base.name, base.shape, base.dtype, {
		read: async (device) => {
			const sum = Float32Array.from(await contentsOf(device, base));
			addProduct(sum, await contentsOf(device, up), await contentsOf(device, down), down.shape[0]!, scale);
			return toStorage(sum, base.dtype);
		},
	});
}

/** sum [m, n] += scale · up [m, r] · down [r, n] */
function addProduct(
	sum: Float32Array,
	up: ArrayLike<number>,
	down: ArrayLike<number>,
	rank: number,
	scale: number,
): void {
	const rows = up.length / rank;
	const columns = down.length / rank;
	for (let row = 0; row < rows; row++)
		for (let k = 0; k < rank; k++) {
			const factor = scale * up[row * rank + k]!;
			for (let column = 0; column < columns; column++)
				sum[row * columns + column]! += factor * down[k * columns + column]!;
		}
}

interface Table {
	readonly config: ClipTextConfig;
	readonly tokenizer: ExtendedTokenizer;
}

function tableWith(pipe: Pipeline, words: readonly LearnedWord<Tensor | FrozenTensor>[]): Table {
	const { config } = pipe.components.text;
	const added = words.map(({ token, vectors }) => ({ token, vectors: vectors.shape[0]! }));
	const tokenizer = new ExtendedTokenizer(pipe.textEncoder.tokenizer, added, config.vocabularySize);
	return { config: { ...config, vocabularySize: tokenizer.vocabularySize }, tokenizer };
}

/** The model as a change in training makes it, for pictures on the way; it holds no memory of its own. */
export function liveModel(pipe: Pipeline, change: ModelChange<Tensor>): FrozenModel {
	const { text, unet } = pipe.components;
	const denoiser = asDenoiser(liveNetwork(unet, change.unet));
	const changed = liveNetwork(text, change.text);
	if (change.words.length === 0) return modelWith(pipe, asTextEncoder(changed, pipe.textEncoder.tokenizer), denoiser);
	const { config, tokenizer } = tableWith(pipe, change.words);
	const table = [text.config.vocabularySize, text.config.hiddenSize];
	const open = (graph: Graph): Weights => {
		const inner = changed.weights.open(graph);
		return wrapWeights(inner, ({ name }) =>
			name === TOKEN_TABLE
				? concat([cast(inner.get(name, table), "f32"), ...change.words.map(({ vectors }) => graph.state(vectors))], 0)
				: null,
		);
	};
	return modelWith(pipe, asTextEncoder({ config, weights: { open } }, tokenizer), denoiser);
}

/** A model with changes from files. Its networks share the pipeline's files, and live as long. */
export interface ChangedModel extends FrozenModel {
	/** Lets the device's copies of what was changed go; the pipeline stays. */
	dispose(): void;
}

export function changedModel(pipe: Pipeline, change: ModelChange<FrozenTensor>): ChangedModel {
	const { components, device } = pipe;
	const unet = changedNetwork(components.unet, change.unet);
	let text = changedNetwork(components.text, change.text);
	let { tokenizer } = pipe.textEncoder;
	if (change.words.length > 0) {
		const extended = tableWith(pipe, change.words);
		const tensors = new Map(text.weights.tensors);
		const base = tensors.get(TOKEN_TABLE)!;
		const shape = [extended.config.vocabularySize, extended.config.hiddenSize];
		const joined = [base, ...change.words.map(({ vectors }) => vectors)];
		tensors.set(TOKEN_TABLE, new FrozenTensor(base.name, shape, base.dtype, { joined }));
		text = { config: extended.config, weights: new WeightSet(tensors, text.weights.origin) };
		({ tokenizer } = extended);
	}
	return {
		...modelWith(pipe, asTextEncoder(text, tokenizer), asDenoiser(unet)),
		dispose() {
			if (unet !== components.unet) unet.weights.release(device);
			if (text !== components.text) text.weights.release(device);
		},
	};
}

function modelWith(
	pipe: Pipeline,
	textEncoder: FrozenModel["textEncoder"],
	denoiser: FrozenModel["denoiser"],
): FrozenModel {
	const { device, autoencoder, noiseSchedule, scheduler, identity, sampling } = pipe;
	return { device, textEncoder, denoiser, autoencoder, noiseSchedule, scheduler, identity, sampling };
}
