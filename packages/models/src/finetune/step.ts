// One step of fine-tuning as one program: noisy latents, text features, the denoiser's error, gradients, AdamW.
import {
	type Autoencoder,
	add,
	broadcastTo,
	concat,
	type Denoiser,
	denoisingErrors,
	exp,
	type Graph,
	mul,
	philoxNormal,
	promptEmbeddings,
	type Recompute,
	reshape,
	scaledGradients,
	split,
	sum,
	type Tensor,
	type TextEncoder,
	TIMESTEP_SCALARS,
	type Value,
} from "@dreamdist/core";
import type { TrainedParts } from "./trained-parts.js";

/** Everything that decides the program. What is not here is an input and varies freely. */
export interface StepShape {
	/** N: pictures of one run, to learn from and of the prior together. */
	readonly pictures: number;
	/** [h, w, C] */
	readonly latents: readonly [number, number, number];
	/** Whether prompts are encoded in the program, because what encodes them is trained; otherwise their features are its input. */
	readonly encodesPrompts: boolean;
	/** Whether errors are weighted pixel by pixel. */
	readonly masked: boolean;
	readonly recompute: Recompute;
	/** What the loss is multiplied by while it is differentiated: see `lossScale`. */
	readonly lossScale: number;
}

export interface StepNetworks {
	readonly textEncoder: TextEncoder;
	readonly denoiser: Denoiser;
	readonly autoencoder: Pick<Autoencoder, "scale">;
}

export type StepOutputs = "loss" | "errors" | "gradientNorm";

/** Text features [N, L, d] of the step's prompts, from words and learned vectors. */
function encodedPrompts(graph: Graph, encoder: TextEncoder, rows: number, words: readonly Tensor[]): Value {
	const { length, width } = encoder;
	const ids = graph.input("ids", [rows, length], "i32");
	if (words.length === 0) return encoder.encode(encoder.embed(ids));
	const vectors = concat(
		words.map((word) => graph.state(word)),
		0,
	);
	const count = vectors.shape[0]!;
	const placement = graph.input("placement", [rows, length, count]);
	const tokens = broadcastTo(reshape(vectors, [1, 1, count, width]), [rows, 1, count, width]);
	return encoder.encode(promptEmbeddings(encoder, tokens, { ids, placement }));
}

/**
 * Writes a step into a graph.
 *
 * Inputs: `moments` [N, h, w, 2C] of the autoencoder; `latentKeys`, `noiseKeys` and `offsetKeys` i32 [N, 4]; `noiseOffset`; `timesteps` [N];
 * `scalars` [N, 5] of `timestepScalars`; `pictureWeights` [N], whose weighted sum of errors is the loss; `pixelWeights` [N, h, w, 1] where
 * masked; `contexts` [N, L, d], or `ids` i32 [N, L] with `placement` [N, L, V]; and those of `TrainedParts.inputs`.
 *
 * @param networks as they read what is trained
 * @param words learned vectors, each [n, d], in the order of the placement's columns
 */
export function writeFinetuneStep(
	graph: Graph,
	networks: StepNetworks,
	parts: TrainedParts,
	words: readonly Tensor[],
	shape: StepShape,
): Record<StepOutputs, Value> {
	const { pictures: rows, recompute } = shape;
	const { textEncoder, denoiser, autoencoder } = networks;
	const [h, w, channels] = shape.latents;
	const drawn = (name: string) =>
		reshape(philoxNormal(graph.input(name, [rows, 4], "i32"), h * w * channels), [rows, h, w, channels]);
	const [center, logVariance] = split(graph.input("moments", [rows, h, w, 2 * channels]), 3, [channels, channels]);
	const sampled = add(center!, mul(exp(mul(logVariance!, 0.5)), drawn("latentKeys")));
	const offset = reshape(philoxNormal(graph.input("offsetKeys", [rows, 4], "i32"), channels), [rows, 1, 1, channels]);
	const contexts = shape.encodesPrompts
		? graph.named("prompts", () => encodedPrompts(graph, textEncoder, rows, words))
		: graph.input("contexts", [rows, textEncoder.length, textEncoder.width]);
	const errors = denoisingErrors(denoiser, {
		latents: mul(sampled, autoencoder.scale),
		noise: add(drawn("noiseKeys"), mul(offset, graph.input("noiseOffset"))),
		timesteps: graph.input("timesteps", [rows]),
		scalars: graph.input("scalars", [rows, TIMESTEP_SCALARS]),
		contexts,
		recompute,
		...(shape.masked && { pixelWeights: graph.input("pixelWeights", [rows, h, w, 1]) }),
	});
	const loss = sum(mul(errors, graph.input("pictureWeights", [rows])));
	const gradientNorm = parts.update(graph, scaledGradients(loss, parts.values(graph), shape.lossScale));
	return { loss, errors, gradientNorm };
}
