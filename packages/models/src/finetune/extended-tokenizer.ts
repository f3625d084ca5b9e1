// A tokenizer that knows more words: each stands for one or more tokens of its own, as tokens that are added to a vocabulary do.
import { ArgumentError, type EncodedText, type Tokenizer } from "@dreamdist/core";

/** A word, and how many tokens it stands for. */
export interface AddedWord {
	readonly token: string;
	readonly vectors: number;
}

/** Finds a word, but not inside of a longer one. */
function wholeWord(token: string): string {
	const letter = /[\p{L}\p{N}]/u;
	const before = letter.test(token.at(0)!) ? "(?<![\\p{L}\\p{N}])" : "";
	const after = letter.test(token.at(-1)!) ? "(?![\\p{L}\\p{N}])" : "";
	return before + token.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&") + after;
}

export class ExtendedTokenizer implements Tokenizer {
	readonly length: number;
	readonly startId: number;
	readonly endId: number;
	readonly padId: number;
	readonly vocabularySize: number;
	private readonly pattern: RegExp;

	/**
	 * @param firstId id of the first word's first token; the others follow. At or above the base's vocabulary
	 * @throws ArgumentError for a word that is there already, or twice
	 */
	constructor(
		private readonly base: Tokenizer,
		private readonly words: readonly AddedWord[],
		private readonly firstId: number = base.vocabularySize,
	) {
		this.length = base.length;
		this.startId = base.startId;
		this.endId = base.endId;
		this.padId = base.padId;
		this.vocabularySize = firstId + words.reduce((sum, { vectors }) => sum + vectors, 0);
		const tokens = words.map(({ token }) => token);
		const twice = tokens.find((token, i) => tokens.indexOf(token) !== i || token.trim() === "" || /\s/.test(token));
		if (twice !== undefined) throw new ArgumentError(`the word "${twice}" is there twice, or is no word`);
		// Longer words first: "<new1>" must not be found inside of "<new1>_1".
		const escaped = [...tokens].sort((a, b) => b.length - a.length).map(wholeWord);
		this.pattern = new RegExp(`(${escaped.join("|")})`, "iu");
	}

	/** Ids of a word's tokens. */
	idsOf(token: string): number[] {
		let id = this.firstId;
		for (const word of this.words) {
			if (word.token.toLowerCase() === token.toLowerCase())
				return Array.from({ length: word.vectors }, (_, i) => id + i);
			id += word.vectors;
		}
		throw new ArgumentError(`there is no word "${token}"`);
	}

	tokenize(text: string): number[] {
		if (this.words.length === 0) return this.base.tokenize(text);
		return text
			.split(this.pattern)
			.flatMap((part, i) => (i % 2 === 1 ? this.idsOf(part) : part.trim() === "" ? [] : this.base.tokenize(part)));
	}

	encode(text: string): EncodedText {
		const content = this.tokenize(text);
		const room = this.length - 2;
		const ids = new Int32Array(this.length).fill(this.padId);
		ids.set([this.startId, ...content.slice(0, room), this.endId]);
		return {
			ids,
			endPosition: Math.min(content.length, room) + 1,
			truncated: content.length > room ? this.decode(content.slice(room)) : null,
		};
	}

	decode(ids: number | Iterable<number>): string {
		const parts: string[] = [];
		let run: number[] = [];
		const flush = () => {
			if (run.length > 0) parts.push(this.base.decode(run));
			run = [];
		};
		for (const id of typeof ids === "number" ? [ids] : ids) {
			if (id < this.base.vocabularySize) run.push(id);
			else {
				flush();
				const name = this.nameOf(id);
				if (name !== null) parts.push(name);
			}
		}
		flush();
		return parts.join(" ").replace(/\s+/g, " ").trim();
	}

	/** A word for its first token; null for its others, and for ids between the vocabularies. */
	private nameOf(id: number): string | null {
		let first = this.firstId;
		for (const { token, vectors } of this.words) {
			if (id === first) return token;
			first += vectors;
		}
		return null;
	}
}
