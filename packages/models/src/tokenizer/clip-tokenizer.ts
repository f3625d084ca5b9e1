import { ArgumentError, type EncodedText, type Tokenizer } from "@dreamdist/core";
import { Tokenizer as BytePairTokenizer } from "@huggingface/tokenizers";
import { END_OF_WORD, spell } from "./byte-alphabet.js";
import { type AddedToken, readTokenizerFiles, type TokenizerFiles } from "./tokenizer-files.js";

export interface TokenizerOptions {
	/**
	 * Read the padding token in a prompt as ordinary text. Stable Diffusion 2's padding token is "!", and the Hub's
	 * tokenizer takes every "!" in a prompt for padding (id 0), which models are used with; OpenCLIP reads it as "!".
	 */
	padIsText?: boolean;
}

/**
 * Loads the CLIP tokenizer of a model's `tokenizer` folder: the same ids as the Hub's tokenizer for the same files.
 *
 * @throws FileError for a missing file, FormatError `BAD_TOKENIZER` for one that holds something else
 */
export async function loadTokenizer(folder: string, options: TokenizerOptions = {}): Promise<Tokenizer> {
	return new ClipTokenizer(await readTokenizerFiles(folder), options);
}

/** Words as CLIP splits them: contractions, runs of letters, single digits, runs of anything else. */
const WORDS = "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";

class ClipTokenizer implements Tokenizer {
	readonly length: number;
	readonly vocabularySize: number;
	readonly startId: number;
	readonly endId: number;
	readonly padId: number;
	readonly #bytePairs: BytePairTokenizer;
	readonly #tokens: string[] = [];
	/** Ids that stand for a word of their own although their token has no end-of-word mark. */
	readonly #wholeWords: Set<number>;

	constructor(files: TokenizerFiles, options: TokenizerOptions) {
		const ids = new Map(files.vocabulary);
		for (const { content, id } of files.added) if (id !== undefined) ids.set(content, id);
		for (const [token, id] of ids) this.#tokens[id] = token;
		const idOf = (token: AddedToken): number => ids.get(token.content)!;
		this.length = files.length;
		this.vocabularySize = this.#tokens.length;
		this.startId = idOf(files.start);
		this.endId = idOf(files.end);
		this.padId = idOf(files.pad);

		const sought = new Map(files.added.map((token) => [token.content, token]));
		for (const token of [files.unknown, files.pad, files.start, files.end]) sought.set(token.content, token);
		if (options.padIsText && this.padId !== this.endId) sought.delete(files.pad.content);
		this.#wholeWords = new Set([...sought.values(), files.pad].map(idOf));
		this.#bytePairs = new BytePairTokenizer(
			{
				added_tokens: [...sought.values()].map((token) => ({ ...token, id: idOf(token), special: true })),
				normalizer: {
					type: "Sequence",
					normalizers: [
						{ type: "NFC" },
						{ type: "Replace", pattern: { Regex: "\\s+" }, content: " " },
						{ type: "Lowercase" },
					],
				},
				pre_tokenizer: {
					type: "Sequence",
					pretokenizers: [
						{
							type: "Split",
							pattern: { Regex: WORDS },
							behavior: "Removed",
							invert: true,
						},
						// Already split: its own pattern would part a word at U+FEFF, which JavaScript counts as a space.
						{ type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
					],
				},
				post_processor: null,
				decoder: null,
				model: {
					type: "BPE",
					unk_token: files.unknown.content,
					end_of_word_suffix: END_OF_WORD,
					vocab: Object.fromEntries(files.vocabulary),
					merges: files.merges,
				},
			},
			{},
		);
	}

	encode(text: string): EncodedText {
		const content = this.tokenize(text);
		const room = this.length - 2;
		const kept = content.slice(0, room);
		const ids = new Int32Array(this.length).fill(this.padId);
		ids.set([this.startId, ...kept, this.endId]);
		return {
			ids,
			endPosition: ids.indexOf(this.endId),
			truncated: content.length > room ? this.decode(content.slice(room)) : null,
		};
	}

	tokenize(text: string): number[] {
		// A capital sigma is lower-cased by itself; JavaScript would make it ς at the end of a word.
		return this.#bytePairs.encode(text.replaceAll("Σ", "σ"), { add_special_tokens: false }).ids;
	}

	decode(ids: number | Iterable<number>): string {
		const tokens: string[] = [];
		for (const id of typeof ids === "number" ? [ids] : ids) {
			const token = this.#tokens[id];
			if (token === undefined) {
				throw new ArgumentError(`There is no token ${id}; ids are integers from 0 to ${this.vocabularySize - 1}.`);
			}
			if (id === this.startId || id === this.endId) continue;
			tokens.push(this.#wholeWords.has(id) ? token + END_OF_WORD : token);
		}
		return spell(tokens);
	}
}
