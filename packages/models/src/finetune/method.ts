// What a method of fine-tuning is: what it trains, how the networks read it, what prompts say, and the files it writes.
import { ArgumentError, contentsOf, type FrozenTensor, type Shape, wordEmbeddings } from "@dreamdist/core";
import type { Pipeline } from "../pipeline/pipeline.js";
import type { ModelChange } from "./model-change.js";
import type { PartToTrain } from "./trained-parts.js";

/** Reads what was trained, by the parts' names. */
export type ReadPart = (name: string) => Promise<Float32Array>;

export interface TuningMethod {
	readonly parts: readonly PartToTrain[];
	/** How the networks read the parts. */
	change<T>(parts: ReadonlyMap<string, T>): ModelChange<T>;
	/**
	 * The prompt of a picture to learn from.
	 *
	 * @param random uniform in [0, 1), for methods that choose among several
	 * @param zoom how large the picture is shown; 1 where it is shown as it is
	 */
	instancePrompt(random: number, zoom: number): string;
	/** Pictures are shown smaller and larger too, and only what they cover counts. Default false. */
	readonly zoom?: boolean;
	/** Null: there is no prior. */
	readonly classPrompt: string | null;
	/** What shows the result: used where nothing else is asked for. */
	readonly prompt: string;
	/** Writes the result's files into the folder. @returns their names */
	save(folder: string, read: ReadPart): Promise<string[]>;
}

/** A part that begins as a weight of the model. */
export function weightPart(
	pipe: Pipeline,
	prefix: string,
	name: string,
	tensor: FrozenTensor,
	shape: Shape,
): PartToTrain {
	return { name: `${prefix}.${name}`, shape, initial: () => contentsOf(pipe.device, tensor) };
}

/**
 * Vectors that begin as words' embeddings.
 *
 * @throws ArgumentError where the words have more tokens than there are vectors
 */
export function vectorPart(pipe: Pipeline, name: string, words: string, vectors: number): PartToTrain {
	const { textEncoder, device } = pipe;
	const tokens = textEncoder.tokenizer.tokenize(words).length;
	if (tokens === 0 || tokens > vectors)
		throw new ArgumentError(
			`"${words}" has ${tokens} tokens in this model's vocabulary, and ${vectors} vector${vectors > 1 ? "s" : ""} can begin as at most ${vectors}; ` +
				"choose another word (--init-words), or more vectors (--tokens)",
		);
	return {
		name,
		shape: [vectors, textEncoder.width],
		initial: () => wordEmbeddings(device, { textEncoder }, words, vectors),
	};
}

/** @throws ArgumentError unless the prompt holds the word once */
export function checkHolds(prompt: string, word: string): void {
	if (prompt.toLowerCase().split(word.toLowerCase()).length !== 2)
		throw new ArgumentError(`the prompt "${prompt}" must hold the word ${word} once, which stands for what is learned`);
}
