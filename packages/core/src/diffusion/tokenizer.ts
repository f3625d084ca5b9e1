/** A prompt as a text encoder takes it. */
export interface EncodedText {
	/** [length]: the start token, the text's tokens, the end token, then padding. */
	ids: Int32Array;
	/** Index in `ids` of the first end token, whose features stand for the whole text. */
	endPosition: number;
	/** The text of the tokens that did not fit and were cut off; null when all did. */
	truncated: string | null;
}

/** Text to token ids and back, as the text encoder was trained with them. */
export interface Tokenizer {
	/** Tokens of an encoded text, start, end and padding included; 77 for CLIP. */
	readonly length: number;
	/** Ids are 0 … vocabularySize − 1. */
	readonly vocabularySize: number;
	readonly startId: number;
	readonly endId: number;
	readonly padId: number;
	/** A text as the text encoder's input; what does not fit is cut off and reported. */
	encode(text: string): EncodedText;
	/** The ids of a text alone: no start, end or padding, and however many there are. */
	tokenize(text: string): number[];
	/** The text of one id or of several in a row; start and end tokens have none. */
	decode(ids: number | Iterable<number>): string;
}
