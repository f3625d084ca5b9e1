// Where the learnable vectors stand among the words of a prompt.
import type { Tokenizer } from "../../diffusion/tokenizer.js";
import { ArgumentError } from "../../errors.js";

/** Where the learnable vectors stand with respect to a class name. */
export const CLASS_POSITIONS = ["end", "middle", "front"] as const;
/** "end": vectors, then the name; "front": the name, then vectors; "middle": the name between the halves of the vectors. */
export type ClassPosition = (typeof CLASS_POSITIONS)[number];

/**
 * How often the position embeddings are added to the words around the vectors. "twice": as the official code does, which looks words up
 * with their positions and adds all positions again; its prompts mean what they meant to it only if that is repeated.
 */
export const WORD_POSITIONS = ["once", "twice"] as const;
export type WordPositions = (typeof WORD_POSITIONS)[number];

/** The words around the learnable vectors. All empty by default. */
export interface PromptWords {
	/** Before the vectors. */
	readonly prefix?: string;
	/** After the vectors. */
	readonly suffix?: string;
	/** The class's name: stands with the vectors at `classPosition`, inside prefix and suffix. */
	readonly className?: string;
	/** Default "end". */
	readonly classPosition?: ClassPosition;
	/** Default "once". */
	readonly wordPositions?: WordPositions;
}

/** One prompt's layout as the text encoder takes it. */
export interface PromptFrame {
	/** [length]: start, words, end and padding; `endId` stands in for each learnable vector. */
	readonly ids: Int32Array;
	/** Positions of vectors 0 … M−1, ascending. */
	readonly positions: readonly number[];
	/** Index of the end token, whose features stand for the whole prompt. */
	readonly endPosition: number;
	/** [length]: which position each word has a second time, −1 for a vector; absent where positions are added once. */
	readonly secondPositions?: Int32Array;
}

/** The same layout from token ids. */
export interface PromptIds {
	readonly prefix?: readonly number[];
	readonly suffix?: readonly number[];
	readonly className?: readonly number[];
	readonly classPosition?: ClassPosition;
	readonly wordPositions?: WordPositions;
}

/**
 * Lays out start, prefix, vectors (and class name), suffix, end and padding.
 *
 * @param vectors M, the number of learnable vectors
 * @throws ArgumentError when they do not fit into the encoder's positions
 */
export function framePrompt(
	tokenizer: Pick<Tokenizer, "length" | "startId" | "endId" | "padId">,
	vectors: number,
	words: PromptIds = {},
): PromptFrame {
	const { prefix = [], suffix = [], className = [], classPosition = "end" } = words;
	const { length, startId, endId, padId } = tokenizer;
	if (!Number.isInteger(vectors) || vectors < 1)
		throw new ArgumentError(`a prompt needs a whole number of learnable vectors from 1 on, not ${vectors}`);
	const needed = 2 + prefix.length + vectors + className.length + suffix.length;
	if (needed > length)
		throw new ArgumentError(
			`the prompt needs ${needed} positions (start and end 2, prefix ${prefix.length}, vectors ${vectors}, ` +
				`class name ${className.length}, suffix ${suffix.length}), but the text encoder has ${length}; shorten the text or use fewer vectors`,
		);
	const before = classPosition === "front" ? 0 : classPosition === "middle" ? Math.floor(vectors / 2) : vectors;
	const ids = new Int32Array(length).fill(padId);
	const positions: number[] = [];
	let at = 0;
	const put = (list: readonly number[]) => {
		for (const id of list) ids[at++] = id;
	};
	const vector = () => {
		positions.push(at);
		ids[at++] = endId;
	};
	put([startId, ...prefix]);
	for (let i = 0; i < before; i++) vector();
	put(className);
	for (let i = before; i < vectors; i++) vector();
	put(suffix);
	const endPosition = at;
	put([endId]);
	const frame = { ids, positions, endPosition };
	return words.wordPositions === "twice" ? { ...frame, secondPositions: officialPositions(frame, words) } : frame;
}

/**
 * Positions under which the official code looks words up. Without a class it takes text after the vectors from a sequence of its own,
 * so that it counts from 1 there; with one, all words from a sequence in which the name stands behind the vectors.
 */
function officialPositions({ ids, positions }: PromptFrame, words: PromptIds): Int32Array {
	const { prefix = [], className = [] } = words;
	const second = Int32Array.from(ids, (_, at) => at);
	for (const at of positions) second[at] = -1;
	const begin = 1 + prefix.length;
	if (className.length === 0) for (let at = positions.at(-1)! + 1, n = 1; at < ids.length; at++) second[at] = n++;
	else {
		let n = begin + positions.length;
		for (let at = begin; at < begin + positions.length + className.length; at++)
			if (second[at] !== -1) second[at] = n++;
	}
	return second;
}

/** A class name as the official code words it: underscores become spaces and a full stop ends the prompt. */
export function classWords(name: string, position: ClassPosition): string {
	const plain = name.replace(/_/g, " ").trim();
	return position === "end" ? `${plain}.` : plain;
}

/** Tokenizes the words around the vectors. A class name that does not end the prompt is followed by a full stop after the vectors. */
export function frameWords(tokenizer: Tokenizer, vectors: number, words: PromptWords = {}): PromptFrame {
	const { prefix = "", suffix = "", className = "", classPosition = "end", wordPositions = "once" } = words;
	const ids = (text: string) => (text.trim() === "" ? [] : tokenizer.tokenize(text));
	const named = className.trim() !== "";
	return framePrompt(tokenizer, vectors, {
		prefix: ids(prefix),
		className: named ? ids(classWords(className, classPosition)) : [],
		suffix: [...(named && classPosition !== "end" ? ids(".") : []), ...ids(suffix)],
		classPosition,
		wordPositions,
	});
}

/** Frames as the inputs of a program; see `declareFrames`. */
export interface FrameInputs {
	/** i32 [R, L] */
	readonly ids: Int32Array;
	/** [R, L, M]: 1 where vector m stands at position l. */
	readonly placement: Float32Array;
	/** i32 [R·K]: row of each prompt's end position in its features as [R·K·L, d]. */
	readonly endRows: Int32Array;
}

/** Packs one frame per row. All have the same length and number of vectors. */
export function packFrames(frames: readonly PromptFrame[], prompts: number): FrameInputs {
	const first = frames[0];
	if (!first) throw new ArgumentError("there is no prompt to lay out");
	const length = first.ids.length;
	const vectors = first.positions.length;
	const ids = new Int32Array(frames.length * length);
	const placement = new Float32Array(frames.length * length * vectors);
	const endRows = new Int32Array(frames.length * prompts);
	frames.forEach((frame, r) => {
		ids.set(frame.ids, r * length);
		frame.positions.forEach((position, m) => {
			placement[(r * length + position) * vectors + m] = 1;
		});
		for (let k = 0; k < prompts; k++) endRows[r * prompts + k] = (r * prompts + k) * length + frame.endPosition;
	});
	return { ids, placement, endRows };
}
