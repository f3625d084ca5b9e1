// Networks small enough for the interpreter, of the same structure as the real ones: a causal encoder, a denoiser that reads the context.

import type { Autoencoder, Denoiser, TextEncoder } from "../../src/diffusion/interfaces.js";
import {
	add,
	broadcastTo,
	type Graph,
	gather,
	layerNorm,
	matmul,
	mean,
	mul,
	reshape,
	sin,
	type Tokenizer,
	tanh,
	type Value,
} from "../../src/index.js";
import { TestRandom } from "../random.js";

export const WIDTH = 6;
export const LENGTH = 9;
const VOCABULARY = 16;

const WORDS = ["a", "photo", "of", "at", "night", "church", "dog", "cat", "."];

/** Ids 0 … 8 are words, 13 pads, 14 starts, 15 ends. */
export const tinyTokenizer: Tokenizer = {
	length: LENGTH,
	vocabularySize: VOCABULARY,
	startId: 14,
	endId: 15,
	padId: 13,
	tokenize: (text) =>
		text
			.replace(/\./g, " . ")
			.split(/\s+/)
			.filter((word) => word !== "")
			.map((word) => Math.max(0, WORDS.indexOf(word))),
	encode(text) {
		const words = this.tokenize(text).slice(0, LENGTH - 2);
		const ids = new Int32Array(LENGTH).fill(13);
		ids.set([14, ...words, 15]);
		return { ids, endPosition: words.length + 1, truncated: null };
	},
	decode: (ids) => (typeof ids === "number" ? [ids] : [...ids]).map((id) => WORDS[id] ?? "").join(" "),
};

const constants = new Map<string, Float32Array>();

/** The same numbers in every graph. */
function fixed(graph: Graph, name: string, shape: readonly number[], scale: number): Value {
	let data = constants.get(name);
	if (!data) {
		const random = new TestRandom([...name].reduce((hash, letter) => Math.imul(hash, 31) + letter.charCodeAt(0), 7));
		data = random.normals(shape.reduce((a, b) => a * b, 1)).map((x) => x * scale);
		constants.set(name, data);
	}
	return graph.constant(data, shape);
}

export const tinyTextEncoder: TextEncoder = {
	tokenizer: tinyTokenizer,
	width: WIDTH,
	length: LENGTH,
	embed: (ids) => gather(fixed(ids.graph, "tokens", [VOCABULARY, WIDTH], 0.5), ids),
	encode: (embeddings) => {
		const { graph } = embeddings;
		const past = graph.constant(
			Float64Array.from({ length: LENGTH * LENGTH }, (_, i) => {
				const [to, from] = [Math.floor(i / LENGTH), i % LENGTH];
				return from <= to ? 1 / (to + 1) : 0;
			}),
			[LENGTH, LENGTH],
		);
		const x = add(embeddings, fixed(graph, "positions", [LENGTH, WIDTH], 0.3));
		const seen = matmul(
			broadcastTo(past, [x.shape[0]!, LENGTH, LENGTH]),
			tanh(matmul(x, fixed(graph, "mix", [WIDTH, WIDTH], 1))),
		);
		return layerNorm(add(x, seen));
	},
	positions: (graph) => fixed(graph, "positions", [LENGTH, WIDTH], 0.3),
};

export const tinyDenoiser: Denoiser = {
	latentChannels: 2,
	contextWidth: WIDTH,
	sizeMultiple: 1,
	sampleSize: null,
	predict: (latents, timesteps, contexts) => {
		const [batch, h, w, channels] = latents.shape as [number, number, number, number];
		const samples = contexts.shape[0]! / batch;
		const read = matmul(mean(tanh(contexts), 1), fixed(latents.graph, "read", [WIDTH, channels], 1));
		const time = reshape(sin(mul(timesteps, 0.01)), [batch, 1, 1, 1, 1]);
		const own = reshape(tanh(latents), [batch, 1, h, w, channels]);
		const both = mul(add(own, time), reshape(read, [batch, samples, 1, 1, channels]));
		return reshape(add(both, own), [batch * samples, h, w, channels]);
	},
};

/** Latents are the means of 2×2 pixels' channels; decoding repeats them. */
export const tinyAutoencoder: Autoencoder = {
	factor: 2,
	latentChannels: 2,
	scale: 0.5,
	encode: (pictures) => {
		const [n, h, w] = pictures.shape as [number, number, number, number];
		const blocks = mean(reshape(pictures, [n, h / 2, 2, w / 2, 2, 3]), [2, 4]);
		const project = (name: string) => matmul(blocks, fixed(pictures.graph, name, [3, 2], 1));
		return { mean: project("latent mean"), logVariance: add(project("latent variance"), -3) };
	},
	decode: (latents) => {
		const [n, h, w] = latents.shape as [number, number, number, number];
		const colours = tanh(matmul(latents, fixed(latents.graph, "colours", [2, 3], 1)));
		return reshape(broadcastTo(reshape(colours, [n, h, 1, w, 1, 3]), [n, h, 2, w, 2, 3]), [n, 2 * h, 2 * w, 3]);
	},
};
