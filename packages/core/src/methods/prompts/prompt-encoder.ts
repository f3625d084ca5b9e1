// Encoding prompts outside of learning: fitting distributions, text, and the token space.
import type { InputData, Program } from "../../compile/program.js";
import type { Device } from "../../device/device.js";
import type { TextEncoder } from "../../diffusion/interfaces.js";
import { ArgumentError } from "../../errors.js";
import type { Graph, Value } from "../../graph/graph.js";
import { add, cast, mul, sub } from "../../ops/elementwise.js";
import { matmul } from "../../ops/matmul.js";
import { mean, std } from "../../ops/reduce.js";
import { reshape, slice } from "../../ops/shape.js";
import { FeatureDistribution } from "./feature-distribution.js";
import { declareFrames, frameData, promptEmbeddings, promptFeatures } from "./features.js";
import { type PromptFrame, packFrames } from "./frame.js";

/** K prompts of M vectors, [K, M, d]. */
export interface PromptTokens {
	readonly data: Float32Array;
	readonly prompts: number;
	readonly vectors: number;
	readonly width: number;
}

/** What K prompts give. */
export interface FittedPrompts {
	readonly distribution: FeatureDistribution;
	/** Features of each prompt, [K, L, d]. */
	readonly hidden: Float32Array;
	/** Features at the end token, [K, d]. */
	readonly pooled: Float32Array;
}

/** A text encoder on a device, with its programs. One program serves all prompts of the same K and M, whatever their words. */
export class PromptEncoder implements Disposable {
	/** Kernel launches so far. */
	launches = 0;
	private readonly programs = new Map<string, Promise<Program>>();
	private readonly compiled = new Set<Program>();

	constructor(
		readonly device: Device,
		readonly textEncoder: TextEncoder,
		/** Stops loading and encoding. */
		private readonly signal?: AbortSignal,
	) {}

	/**
	 * Encodes K prompts and fits the Gaussian over them.
	 *
	 * @throws ArgumentError if the tokens have another width than the encoder
	 */
	async fit(tokens: PromptTokens, frame: PromptFrame): Promise<FittedPrompts> {
		const { length, width } = this.textEncoder;
		const program = await this.program("fit", tokens, frame, (graph, encoder) => {
			const { values, frames } = this.inputs(graph, tokens);
			const { hidden, pooled, mean, std } = promptFeatures(encoder, values, frames);
			return { hidden, pooled, mean, std };
		});
		const result = await this.run(program, { tokens: tokens.data, ...frameInputs(frame, tokens.prompts) });
		return {
			distribution: new FeatureDistribution(floats(result.mean), floats(result.std), length, width),
			hidden: floats(result.hidden),
			pooled: floats(result.pooled),
		};
	}

	/**
	 * One prompt sampled before the encoder rather than after it: a Gaussian over the K prompts' embeddings, of which a sample is
	 * encoded (the official code's `sample_ctx`).
	 *
	 * @param omega standard normal [L, d]
	 * @returns features [L, d]
	 */
	async sampleTokenSpace(
		tokens: PromptTokens,
		frame: PromptFrame,
		omega: ArrayLike<number>,
		gamma = 1,
	): Promise<Float32Array> {
		const { length, width } = this.textEncoder;
		const program = await this.program("token space", tokens, frame, (graph, encoder) => {
			const { values, frames } = this.inputs(graph, tokens);
			const each = promptEmbeddings(encoder, values, frames);
			const first = slice(each, 0, 0, 1);
			const difference = sub(each, first);
			const center = add(reshape(first, [length, width]), mean(difference, 0));
			const drawn = mul(mul(graph.input("omega", [length, width]), graph.input("gamma")), std(difference, 0));
			const encoded = this.textEncoder.encode(reshape(add(center, drawn), [1, length, width]));
			return { features: cast(encoded, "f32") };
		});
		const frames = frameInputs(frame, tokens.prompts);
		const { features } = await this.run(program, { tokens: tokens.data, omega, gamma, ...frames });
		return floats(features);
	}

	/** Features of a text, [L, d]. */
	async encodeText(text: string): Promise<Float32Array> {
		return this.encodeIds(this.textEncoder.tokenizer.encode(text).ids);
	}

	/** Features of token ids [L] (start, end and padding included), [L, d]. */
	async encodeIds(ids: Int32Array): Promise<Float32Array> {
		const { length } = this.textEncoder;
		const program = await this.cached("text", (graph) => {
			const embeddings = this.textEncoder.embed(graph.input("ids", [1, length], "i32"));
			return { features: cast(this.textEncoder.encode(embeddings), "f32") };
		});
		return floats((await this.run(program, { ids })).features);
	}

	/** Lets the programs go; the encoder goes on working, with programs compiled anew. */
	dispose(): void {
		for (const pending of this.programs.values())
			pending.then(
				(program) => program.dispose(),
				() => undefined,
			);
		// What is there already goes at once, so that nothing reads the weights any more when this returns.
		for (const program of this.compiled) program.dispose();
		this.programs.clear();
		this.compiled.clear();
	}

	[Symbol.dispose](): void {
		this.dispose();
	}

	private run(program: Program, inputs: Record<string, InputData>) {
		this.launches += program.kernelCalls;
		return program.run(inputs, this.signal ? { signal: this.signal } : {});
	}

	private inputs(graph: Graph, tokens: PromptTokens) {
		const { prompts, vectors, width } = tokens;
		const { length } = this.textEncoder;
		return {
			values: graph.input("tokens", [1, prompts, vectors, width]),
			frames: declareFrames(graph, { rows: 1, prompts, length, vectors }),
		};
	}

	/** The encoder as a frame wants it: with positions added to the words it looks up where that is asked for. */
	private encoderFor(graph: Graph, frame: PromptFrame): TextEncoder {
		const { textEncoder } = this;
		if (!frame.secondPositions) return textEncoder;
		const { length } = textEncoder;
		const table = textEncoder.positions?.(graph);
		if (!table)
			throw new ArgumentError("this text encoder has no position embeddings, so they can't be added to words twice");
		const second = matmul(graph.input("secondPositions", [length, length]), table);
		return {
			...textEncoder,
			embed: (ids) => add(textEncoder.embed(ids), reshape(second, [1, length, textEncoder.width])),
		};
	}

	private program(
		name: string,
		tokens: PromptTokens,
		frame: PromptFrame,
		build: (graph: Graph, encoder: TextEncoder) => Record<string, Value>,
	): Promise<Program> {
		const { prompts, vectors, width, data } = tokens;
		if (width !== this.textEncoder.width)
			throw new ArgumentError(
				`the distribution's tokens have width ${width}, but the model's text encoder has width ${this.textEncoder.width}; ` +
					"a distribution works with models of the text encoder that it was learned with",
			);
		if (data.length !== prompts * vectors * width)
			throw new ArgumentError(`tokens [${prompts}, ${vectors}, ${width}] are not ${data.length} numbers`);
		const kind = frame.secondPositions ? ", positions twice" : "";
		return this.cached(`${name} ${prompts} ${vectors}${kind}`, (graph) => build(graph, this.encoderFor(graph, frame)));
	}

	private cached(key: string, build: (graph: Graph) => Record<string, Value>): Promise<Program> {
		let program = this.programs.get(key);
		if (!program) {
			program = this.device.compile(build, { name: key, ...(this.signal && { signal: this.signal }) });
			program.then(
				(done) => this.compiled.add(done),
				// A failure must not stand in the way of the next attempt.
				() => this.programs.delete(key),
			);
			this.programs.set(key, program);
		}
		return program;
	}
}

/** A frame's words as the programs' inputs. */
function frameInputs(frame: PromptFrame, prompts: number): Record<string, InputData> {
	const data: Record<string, InputData> = frameData(packFrames([frame], prompts));
	const { secondPositions, ids } = frame;
	if (!secondPositions) return data;
	const rows = new Float32Array(ids.length ** 2);
	secondPositions.forEach((position, at) => {
		if (position >= 0) rows[at * ids.length + position] = 1;
	});
	return { ...data, secondPositions: rows };
}

function floats(data: ArrayLike<number> | undefined): Float32Array {
	return data instanceof Float32Array ? data : Float32Array.from(data!);
}
