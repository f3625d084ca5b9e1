import { join } from "node:path";
import { DreamdistError, FormatError, readWholeFile } from "@dreamdist/core";
import { z } from "zod";
import { BYTE_SYMBOLS, END_OF_WORD } from "./byte-alphabet.js";

/** The files of a tokenizer folder; CLIP's own are 1.1 MB and 0.5 MB. */
const FILE_LIMIT = 64 * 2 ** 20;

/** Tokens of a CLIP text, where the configuration gives no usable number. */
const CLIP_LENGTH = 77;

/** A token that is found in the text before it is split into words. */
export interface AddedToken {
	content: string;
	lstrip: boolean;
	rstrip: boolean;
	/** Looked for in the lower-cased text rather than in the text as written. */
	normalized: boolean;
	single_word: boolean;
	/** Absent from the vocabulary file: its id is given with it. */
	id?: number | undefined;
}

/** What the files of a CLIP tokenizer say. */
export interface TokenizerFiles {
	vocabulary: Map<string, number>;
	/** Pairs of symbols in the order of their merging. */
	merges: [string, string][];
	start: AddedToken;
	end: AddedToken;
	pad: AddedToken;
	unknown: AddedToken;
	/** Further tokens, as Textual Inversion adds them. */
	added: AddedToken[];
	length: number;
}

const addedToken = z.object({
	content: z.string().min(1),
	lstrip: z.boolean().default(false),
	rstrip: z.boolean().default(false),
	normalized: z.boolean().default(false),
	single_word: z.boolean().default(false),
});
const specialToken = z.union([
	z
		.string()
		.min(1)
		.transform((content) => addedToken.parse({ content })),
	addedToken,
]);
const specialTokens = z.object({
	bos_token: specialToken.optional(),
	eos_token: specialToken.optional(),
	unk_token: specialToken.optional(),
	pad_token: specialToken.optional(),
});
const configuration = specialTokens.extend({
	tokenizer_class: z.enum(["CLIPTokenizer", "CLIPTokenizerFast"]).optional(),
	model_max_length: z.number().optional(),
	added_tokens_decoder: z.record(z.string().regex(/^\d+$/), addedToken).optional(),
});

/**
 * Reads `vocab.json`, `merges.txt`, `tokenizer_config.json` and `special_tokens_map.json`; the last one may be absent and
 * wins over the one before.
 *
 * @throws FileError for a missing file, FormatError `BAD_TOKENIZER` for one that holds something else
 */
export async function readTokenizerFiles(folder: string): Promise<TokenizerFiles> {
	const vocabulary = await readVocabulary(join(folder, "vocab.json"));
	const merges = await readMerges(join(folder, "merges.txt"), vocabulary);

	const configPath = join(folder, "tokenizer_config.json");
	const config = await readJson(configPath, configuration);
	const mapPath = join(folder, "special_tokens_map.json");
	const map = (await readJsonIfPresent(mapPath, specialTokens)) ?? {};

	const special = (key: keyof z.infer<typeof specialTokens>, content: string): AddedToken => {
		const token = map[key] ?? config[key] ?? addedToken.parse({ content });
		const known = vocabulary.has(token.content) || decoderHas(config.added_tokens_decoder, token.content);
		if (!known)
			throw malformed(map[key] ? mapPath : configPath, `"${key}" "${token.content}" is not in the vocabulary`);
		return token;
	};
	const end = special("eos_token", "<|endoftext|>");
	const length = config.model_max_length ?? CLIP_LENGTH;
	return {
		vocabulary,
		merges,
		start: special("bos_token", "<|startoftext|>"),
		end,
		unknown: special("unk_token", end.content),
		pad: special("pad_token", end.content),
		added: Object.entries(config.added_tokens_decoder ?? {}).map(([id, token]) => ({ ...token, id: Number(id) })),
		// Python writes 10³⁰ where it means no limit; text encoders have one.
		length: Number.isInteger(length) && length >= 3 && length <= 2 ** 16 ? length : CLIP_LENGTH,
	};
}

function decoderHas(decoder: Record<string, AddedToken> | undefined, content: string): boolean {
	return Object.values(decoder ?? {}).some((token) => token.content === content);
}

function malformed(path: string, problem: string, cause?: unknown): FormatError {
	const message = `${path} is not a CLIP tokenizer's file: ${problem}. Fetch the model's tokenizer folder again.`;
	return new FormatError("BAD_TOKENIZER", path, message, { cause });
}

async function readText(path: string): Promise<string> {
	const bytes = await readWholeFile(path, FILE_LIMIT);
	try {
		return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
	} catch (error) {
		throw malformed(path, "it is not UTF-8 text", error);
	}
}

async function readObject(path: string): Promise<object> {
	const text = await readText(path);
	let json: unknown;
	try {
		json = JSON.parse(text);
	} catch (error) {
		throw malformed(path, "it is not valid JSON", error);
	}
	if (typeof json !== "object" || json === null || Array.isArray(json))
		throw malformed(path, "it is not a JSON object");
	return json;
}

async function readJson<T>(path: string, schema: z.ZodType<T>): Promise<T> {
	const result = schema.safeParse(await readObject(path));
	if (result.success) return result.data;
	const issue = result.error.issues[0];
	throw malformed(path, `${issue?.path.length ? `"${issue.path.join(".")}": ` : ""}${issue?.message ?? "wrong form"}`);
}

async function readJsonIfPresent<T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> {
	try {
		return await readJson(path, schema);
	} catch (error) {
		if (error instanceof DreamdistError && error.code === "FILE_NOT_FOUND") return undefined;
		throw error;
	}
}

async function readVocabulary(path: string): Promise<Map<string, number>> {
	const entries: [string, unknown][] = Object.entries(await readObject(path));
	const vocabulary = new Map<string, number>();
	const owners = new Array<string | undefined>(entries.length);
	for (const [token, id] of entries) {
		// Ids without gaps are exactly the places of this array, each taken once.
		if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id >= entries.length) {
			throw malformed(path, `"${token}" has the id ${JSON.stringify(id)} among ${entries.length} tokens`);
		}
		if (owners[id] !== undefined) throw malformed(path, `"${owners[id]}" and "${token}" both have the id ${id}`);
		owners[id] = token;
		vocabulary.set(token, id);
	}
	for (const symbol of BYTE_SYMBOLS) {
		for (const token of [symbol, symbol + END_OF_WORD]) {
			if (!vocabulary.has(token)) throw malformed(path, `the byte symbol "${token}" is missing`);
		}
	}
	return vocabulary;
}

async function readMerges(path: string, vocabulary: ReadonlyMap<string, number>): Promise<[string, string][]> {
	const lines = (await readText(path)).split(/\r?\n/);
	const merges: [string, string][] = [];
	for (const [i, line] of lines.entries()) {
		if (line === "" || (i === 0 && line.startsWith("#version"))) continue;
		const [left, right, ...rest] = line.split(" ");
		if (!left || !right || rest.length > 0) throw malformed(path, `line ${i + 1} is not two symbols`);
		if (!vocabulary.has(left + right)) throw malformed(path, `the pair in line ${i + 1} is not in vocab.json`);
		merges.push([left, right]);
	}
	return merges;
}
