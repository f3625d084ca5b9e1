// Makes a byte-pair vocabulary in CLIP's file format from texts.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { ArgumentError, fileError, writeFileAtomic } from "@dreamdist/core";
import { BYTE_SYMBOLS, END_OF_WORD, SYMBOL_OF_BYTE } from "./byte-alphabet.js";

const START = "<|startoftext|>";
const END = "<|endoftext|>";

/** How CLIP's tokenizer splits a text into words. */
const WORDS = /'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+/gu;

export interface BytePairs {
	/** By id. */
	readonly vocabulary: readonly string[];
	/** In the order of their merging. */
	readonly merges: readonly (readonly [string, string])[];
}

interface Word {
	symbols: string[];
	readonly count: number;
}

/**
 * Merges the most frequent pair of symbols again and again, until the vocabulary is full or every word is one token. Of equally frequent pairs the first in
 * the order of code units is merged, so the same texts give the same vocabulary everywhere.
 *
 * @param texts lower-cased as the tokenizer would
 * @param size most tokens, 514 (bytes, bytes at the end of a word, start and end) at least
 */
export function trainBytePairs(texts: Iterable<string>, size: number): BytePairs {
	const bytes = [...BYTE_SYMBOLS, ...BYTE_SYMBOLS.map((symbol) => symbol + END_OF_WORD)];
	if (!Number.isInteger(size) || size < bytes.length + 2)
		throw new ArgumentError(`a byte-pair vocabulary has at least ${bytes.length + 2} tokens, not ${size}`);
	const words = countWords(texts);
	const merges: [string, string][] = [];
	while (bytes.length + merges.length + 2 < size) {
		const pair = mostFrequentPair(words);
		if (!pair) break;
		merges.push(pair);
		for (const word of words) word.symbols = mergePair(word.symbols, pair);
	}
	return { vocabulary: [...bytes, ...merges.map(([left, right]) => left + right), START, END], merges };
}

function countWords(texts: Iterable<string>): Word[] {
	const counts = new Map<string, number>();
	for (const text of texts)
		for (const [word] of text.normalize("NFC").toLowerCase().matchAll(WORDS))
			counts.set(word, (counts.get(word) ?? 0) + 1);
	return [...counts].map(([word, count]) => {
		const symbols = Array.from(Buffer.from(word, "utf8"), (byte) => SYMBOL_OF_BYTE[byte]!);
		symbols[symbols.length - 1] += END_OF_WORD;
		return { symbols, count };
	});
}

function mostFrequentPair(words: readonly Word[]): [string, string] | null {
	const counts = new Map<string, number>();
	for (const { symbols, count } of words)
		for (let i = 1; i < symbols.length; i++) {
			const key = `${symbols[i - 1]} ${symbols[i]}`;
			counts.set(key, (counts.get(key) ?? 0) + count);
		}
	let best: string | null = null;
	let most = 0;
	for (const [key, count] of counts)
		if (count > most || (count === most && best !== null && key < best)) {
			best = key;
			most = count;
		}
	return best === null ? null : (best.split(" ") as [string, string]);
}

function mergePair(symbols: readonly string[], [left, right]: readonly [string, string]): string[] {
	const out: string[] = [];
	for (let i = 0; i < symbols.length; i++)
		if (symbols[i] === left && symbols[i + 1] === right) {
			out.push(left + right);
			i++;
		} else out.push(symbols[i]!);
	return out;
}

/** Writes `vocab.json`, `merges.txt` and the two configurations; padding is id 0, as in Stable Diffusion 2. */
export async function writeBytePairTokenizer(folder: string, { vocabulary, merges }: BytePairs): Promise<void> {
	const special = { bos_token: START, eos_token: END, unk_token: END };
	const config = {
		tokenizer_class: "CLIPTokenizer",
		model_max_length: 77,
		do_lower_case: true,
		...special,
		pad_token: END,
	};
	try {
		await mkdir(folder, { recursive: true });
	} catch (error) {
		throw fileError(error, "make the folder", folder);
	}
	const ids = Object.fromEntries(vocabulary.map((token, id) => [token, id]));
	const lines = merges.map(([left, right]) => `${left} ${right}\n`);
	await writeFileAtomic(join(folder, "vocab.json"), JSON.stringify(ids));
	await writeFileAtomic(join(folder, "merges.txt"), `#version: 0.2\n${lines.join("")}`);
	await writeFileAtomic(join(folder, "tokenizer_config.json"), `${JSON.stringify(config, null, 2)}\n`);
	const map = { ...special, pad_token: vocabulary[0] };
	await writeFileAtomic(join(folder, "special_tokens_map.json"), `${JSON.stringify(map, null, 2)}\n`);
}
