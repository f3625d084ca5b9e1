import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileError, writeFileAtomic } from "@dreamdist/core";
import { BYTE_SYMBOLS, END_OF_WORD } from "./byte-alphabet.js";

/** CLIP's number of tokens; the last two start and end a text. */
const CLIP_VOCABULARY = 49_408;
const START = "<|startoftext|>";
const END = "<|endoftext|>";

/**
 * Writes a tokenizer that knows bytes only, in the files of Stable Diffusion 2's: no merges, every byte by itself and at
 * the end of a word, then unused tokens up to CLIP's 49,408 ids, of which 49,406 starts a text and 49,407 ends it.
 *
 * @param folder made if it is missing; its files are replaced
 */
export async function writeByteLevelTokenizer(folder: string): Promise<void> {
	const bytes = [...BYTE_SYMBOLS, ...BYTE_SYMBOLS.map((symbol) => symbol + END_OF_WORD)];
	const unused = Array.from({ length: CLIP_VOCABULARY - 2 - bytes.length }, (_, i) => `<|unused${bytes.length + i}|>`);
	const vocabulary = Object.fromEntries([...bytes, ...unused, START, END].map((token, id) => [token, id]));
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
	await writeFileAtomic(join(folder, "vocab.json"), JSON.stringify(vocabulary));
	await writeFileAtomic(join(folder, "merges.txt"), "#version: 0.2\n");
	await writeFileAtomic(join(folder, "tokenizer_config.json"), `${JSON.stringify(config, null, 2)}\n`);
	// As in Stable Diffusion 2, the padding token here wins over the configuration's.
	const map = { ...special, pad_token: "!" };
	await writeFileAtomic(join(folder, "special_tokens_map.json"), `${JSON.stringify(map, null, 2)}\n`);
}
