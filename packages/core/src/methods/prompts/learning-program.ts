// One step of learning as one compiled program.
import type { Program } from "../../compile/program.js";
import type { Device } from "../../device/device.js";
import type { Denoiser, Recompute, TextEncoder } from "../../diffusion/interfaces.js";
import type { Graph, Value } from "../../graph/graph.js";
import { add, exp, mul } from "../../ops/elementwise.js";
import { gather } from "../../ops/embedding.js";
import { philoxNormal } from "../../ops/random.js";
import { mean, sum } from "../../ops/reduce.js";
import { reshape, split } from "../../ops/shape.js";
import { lossScale, scaledGradients } from "../../optimize/training.js";
import { declareFrames, type OrthogonalLoss, orthogonalLoss, promptFeatures, sampleContexts } from "./features.js";
import { denoisingErrors, TIMESTEP_SCALARS } from "./loss.js";
import type { TokenState } from "./token-update.js";

export interface LearningNetworks {
	readonly textEncoder: TextEncoder;
	readonly denoiser: Denoiser;
}

/** Everything that decides the program. What is not here is an input and varies freely. */
export interface LearningShape {
	/** B, pictures of one run. */
	readonly batch: number;
	/** S, prompts sampled per picture. */
	readonly samples: number;
	/** Rows of prompts that one run encodes: 1, or with classes as many as its pictures can have. */
	readonly encodedRows: number;
	/** [h, w, C] */
	readonly latents: readonly [number, number, number];
	readonly orthogonal: OrthogonalLoss;
	/**
	 * Where x₀, ε and ω come from: "seeded" draws them by Philox from keys and the autoencoder's moments; "given" reads them, one ω
	 * for all pictures, to repeat a known step.
	 */
	readonly randomness: "seeded" | "given";
	/** Latents are the autoencoder's samples times this. */
	readonly scalingFactor: number;
	/** Default "nothing". */
	readonly recompute?: Recompute;
	/** What the loss is multiplied by while it is differentiated: see `lossScale`. Default 1. */
	readonly lossScale?: number;
}

export type LearningOutputs = "loss" | "errors" | "orthogonal" | "gradientNorm";

interface Drawn {
	latents: Value;
	noise: Value;
	/** [B or 1, S, L, d] */
	omega: Value;
}

function givenDraws(graph: Graph, shape: LearningShape, length: number, width: number): Drawn {
	const picture = [shape.batch, ...shape.latents];
	return {
		latents: graph.input("latents", picture),
		noise: graph.input("noise", picture),
		omega: graph.input("omega", [1, shape.samples, length, width]),
	};
}

function seededDraws(graph: Graph, shape: LearningShape, length: number, width: number): Drawn {
	const { batch, samples } = shape;
	const [h, w, channels] = shape.latents;
	const keys = (name: string, rows: number): Value => graph.input(name, [rows, 4], "i32");
	const picture = (name: string): Value =>
		reshape(philoxNormal(keys(name, batch), h * w * channels), [batch, h, w, channels]);
	const [center, logVariance] = split(graph.input("moments", [batch, h, w, 2 * channels]), 3, [channels, channels]);
	const sampled = add(center!, mul(exp(mul(logVariance!, 0.5)), picture("latentKeys")));
	const offset = reshape(philoxNormal(keys("offsetKeys", batch), channels), [batch, 1, 1, channels]);
	return {
		latents: mul(sampled, shape.scalingFactor),
		noise: add(picture("noiseKeys"), mul(offset, graph.input("noiseOffset"))),
		omega: reshape(philoxNormal(keys("omegaKeys", batch * samples), length * width), [batch, samples, length, width]),
	};
}

/**
 * Writes a step into a graph: encode, fit, sample, denoise, differentiate, update.
 *
 * Inputs: those of `declareFrames`, `TokenState` and the draws; `timesteps` [B], `scalars` [B, 5] of `timestepScalars`,
 * `orthogonalWeight`; with classes also `slots` i32 [encodedRows] (which of the step's rows each encoded one is), `rowWeights`
 * [encodedRows] (share of the pictures that are its class) and `pictureRow` i32 [B].
 */
export function writeLearningStep(
	graph: Graph,
	networks: LearningNetworks,
	state: TokenState,
	shape: LearningShape,
): Record<LearningOutputs, Value> {
	const { batch, encodedRows } = shape;
	const { textEncoder, denoiser } = networks;
	const [classes, prompts, vectors, width] = state.tokens.shape as [number, number, number, number];
	const { length } = textEncoder.tokenizer;
	const byClass = classes > 1;

	const movable = state.read(graph);
	const tokens = byClass ? gather(movable.tokens, graph.input("slots", [encodedRows], "i32")) : movable.tokens;
	const frames = declareFrames(graph, { rows: encodedRows, prompts, length, vectors });
	const features = graph.named("prompts", () => promptFeatures(textEncoder, tokens, frames));
	const drawn =
		shape.randomness === "given" ? givenDraws(graph, shape, length, width) : seededDraws(graph, shape, length, width);
	const pictureRow = byClass ? graph.input("pictureRow", [batch], "i32") : null;
	const contexts = sampleContexts(features.mean, features.std, drawn.omega, batch, pictureRow);
	const errors = denoisingErrors(denoiser, {
		...drawn,
		timesteps: graph.input("timesteps", [batch]),
		scalars: graph.input("scalars", [batch, TIMESTEP_SCALARS]),
		contexts,
		...(shape.recompute && { recompute: shape.recompute }),
	});
	const perRow = orthogonalLoss(features.pooled, shape.orthogonal);
	const orthogonal = sum(byClass ? mul(perRow, graph.input("rowWeights", [encodedRows])) : perRow);
	const loss = add(mean(errors), mul(orthogonal, graph.input("orthogonalWeight")));
	const [gradient] = scaledGradients(loss, [movable.tokens], shape.lossScale ?? 1);
	const gradientNorm = state.update(graph, movable, gradient!);
	return { loss, errors, orthogonal, gradientNorm };
}

/** What makes a step smaller, for the refusal of one that does not fit into memory. */
const LESS_MEMORY = [
	"computing blocks again in backward (--recompute blocks)",
	"smaller pictures (--size)",
	"fewer samples (--samples)",
	"one picture at a time (--batch 1 with --accumulate)",
	"fewer prompts (--prompts)",
	"16-bit weights (--dtype f16 or bf16)",
];

export function compileLearningStep(
	device: Device,
	networks: LearningNetworks,
	state: TokenState,
	shape: LearningShape,
	signal?: AbortSignal,
): Promise<Program<LearningOutputs>> {
	const errors = shape.latents.reduce((count, extent) => count * extent, shape.batch * shape.samples);
	const scaled = { lossScale: lossScale(device.activations, errors), ...shape };
	return device.compile((graph) => writeLearningStep(graph, networks, state, scaled), {
		name: "learning step",
		lessMemory: LESS_MEMORY,
		...(signal && { signal }),
	});
}
