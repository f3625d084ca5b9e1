import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DreamdistError, type Tokenizer } from "@dreamdist/core";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadTokenizer, type TokenizerOptions, writeByteLevelTokenizer } from "../../src/tokenizer/index.js";

const START = 49406;
const END = 49407;

let folder: string;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "dd-tokenizer-"));
});
afterAll(() => rm(folder, { recursive: true }));

type Changes = Record<string, (text: string) => string | null>;

/** A byte-level tokenizer with some of its files changed or, where the change gives null, removed. */
async function variant(changes: Changes): Promise<string> {
	const path = await mkdtemp(join(folder, "variant-"));
	await writeByteLevelTokenizer(path);
	for (const [name, change] of Object.entries(changes)) {
		const file = join(path, name);
		const text = change(await readFile(file, "utf8"));
		await (text === null ? rm(file) : writeFile(file, text));
	}
	return path;
}

async function load(changes: Changes, options?: TokenizerOptions): Promise<Tokenizer> {
	return loadTokenizer(await variant(changes), options);
}

/** Merges whose results take over unused ids from 512 on. */
function withMerges(...pairs: string[]): Changes {
	return {
		"merges.txt": (text) => text + pairs.map((pair) => `${pair}\n`).join(""),
		"vocab.json": (text) =>
			pairs.reduce(
				(json, pair, i) => json.replace(`"<|unused${512 + i}|>"`, JSON.stringify(pair.replace(" ", ""))),
				text,
			),
	};
}

/** Changes some keys of a JSON file. */
const set = (values: object) => (text: string) => JSON.stringify({ ...JSON.parse(text), ...values });

/** The id of an ASCII character inside a word and at its end. */
const inside = (character: string): number => character.charCodeAt(0) - 33;
const last = (character: string): number => 256 + inside(character);

describe("a byte-level tokenizer", () => {
	let tokenizer: Tokenizer;
	beforeAll(async () => {
		tokenizer = await load({});
	});

	test("has CLIP's special ids and size", () => {
		const { startId, endId, padId, length, vocabularySize } = tokenizer;
		expect({ startId, endId, padId, length, vocabularySize }).toEqual({
			startId: START,
			endId: END,
			padId: 0,
			length: 77,
			vocabularySize: 49408,
		});
	});
	test("frames and pads a text", () => {
		const { ids, endPosition, truncated } = tokenizer.encode("A  cat");
		const expected = [START, last("a"), inside("c"), inside("a"), last("t"), END];
		expect([...ids]).toEqual([...expected, ...new Array(71).fill(0)]);
		expect(endPosition).toBe(5);
		expect(truncated).toBeNull();
		expect([...tokenizer.encode("").ids.subarray(0, 3)]).toEqual([START, END, 0]);
	});
	test("cuts off what does not fit and says what it was", () => {
		const fits = tokenizer.encode(`${"a ".repeat(74)}b`);
		expect(fits.truncated).toBeNull();
		expect(fits.endPosition).toBe(76);
		const cut = tokenizer.encode(`${"a ".repeat(75)}wide, white!  rooms`);
		expect(cut.truncated).toBe("wide , white ! rooms");
		expect(cut.endPosition).toBe(76);
		expect(cut.ids).toHaveLength(77);
		expect([cut.ids[75], cut.ids[76]]).toEqual([last("a"), END]);
		expect(tokenizer.tokenize("x".repeat(300))).toHaveLength(300);
	});
	test("ends at the first end token", () => {
		expect(tokenizer.encode("a <|endoftext|> b").endPosition).toBe(2);
	});
	test("decodes ids", () => {
		expect(tokenizer.decode([START, inside("h"), last("i"), END, 0])).toBe("hi !");
		expect(tokenizer.decode(last("q"))).toBe("q");
		expect(tokenizer.decode([])).toBe("");
		expect(() => tokenizer.decode(49408)).toThrow(/no token 49408; .* 0 to 49407/);
		expect(() => tokenizer.decode(-1)).toThrow(DreamdistError);
	});
	test("gives back any text but for case and spaces", () => {
		const plain = (text: string): string => text.replaceAll(/\s+/g, "");
		fc.assert(
			fc.property(fc.string({ unit: "grapheme", maxLength: 60 }), (text) => {
				const ids = tokenizer.tokenize(text);
				const expected = [...text.normalize("NFC")].map((c) => c.toLowerCase()).join("");
				expect(plain(tokenizer.decode(ids))).toBe(plain(expected));
			}),
			{ numRuns: 300 },
		);
	});
});

describe("words", () => {
	const bytes = (text: string): number[] => [...Buffer.from(text, "utf8")];
	test("are merged in the order of the merges", async () => {
		const tokenizer = await load(withMerges("a t</w>", "c a", "c at</w>"));
		// "a t" comes first, so "ca" never gets its chance in "cat", and does in "car".
		expect(tokenizer.tokenize("Cat car")).toEqual([514, 513, last("r")]);
		expect(tokenizer.decode([514, 513, last("r")])).toBe("cat car");
	});
	test("split before contractions, at each digit and around punctuation", async () => {
		const tokenizer = await load({});
		const words = (text: string): string => tokenizer.decode(tokenizer.tokenize(text));
		expect(words("they'll don't 3.14 a,.b x²٣")).toBe("they 'll don 't 3 . 1 4 a ,. b x ² ٣");
	});
	test("are composed, lower-cased letter by letter, and split by Unicode's spaces alone", async () => {
		const tokenizer = await load({});
		const spelled = (text: string): string => tokenizer.decode(tokenizer.tokenize(text));
		expect(spelled("Cafe\u0301\u3000É\u00a0\u0085x")).toBe("café é x");
		// Not ς: the Hub's tokenizer does not look at the neighbours.
		expect(spelled("ΟΔΟΣ")).toBe("οδοσ");
		// U+FEFF is no space there: one word, whose last byte alone carries the end mark.
		const ids = tokenizer.tokenize("#\ufeff>");
		expect(ids.filter((id) => id >= 256)).toEqual([last(">")]);
		expect(ids).toHaveLength(bytes("#\ufeff>").length);
	});
});

describe("special tokens", () => {
	test("the padding token in a prompt is padding, or text on request", async () => {
		expect((await load({})).tokenize("wow! great")).toContain(0);
		const plain = await load({}, { padIsText: true });
		expect(plain.tokenize("wow!")).toEqual([inside("w"), inside("o"), last("w"), last("!")]);
		expect(plain.padId).toBe(0);
		expect([...plain.encode("a").ids.subarray(2, 4)]).toEqual([END, 0]);
	});
	test("are taken from the map first, then from the configuration, then CLIP's", async () => {
		expect((await load({ "special_tokens_map.json": () => null })).padId).toBe(END);
		const bare = await load({ "special_tokens_map.json": () => null, "tokenizer_config.json": () => "{}" });
		expect([bare.startId, bare.endId, bare.padId, bare.length]).toEqual([START, END, END, 77]);
		expect(bare.tokenize("!")).toEqual([last("!")]);
	});
	test("may be objects, sought in the lower-cased text when they are normalized", async () => {
		const token = (normalized: boolean) => ({
			bos_token: { content: "<|startoftext|>", lstrip: false, normalized, rstrip: false, single_word: false },
		});
		const shout = "a <|STARTOFTEXT|> b";
		const normalized = await load({ "special_tokens_map.json": set(token(true)) });
		expect(normalized.tokenize(shout)).toEqual([last("a"), START, last("b")]);
		const literal = await load({ "special_tokens_map.json": set(token(false)) });
		expect(literal.tokenize(shout)).not.toContain(START);
	});
	test("may be added beyond the vocabulary", async () => {
		const added = { added_tokens_decoder: { 49408: { content: "<cat-toy>", special: false } } };
		const tokenizer = await load({ "tokenizer_config.json": set(added) });
		expect(tokenizer.vocabularySize).toBe(49409);
		expect(tokenizer.tokenize("a <cat-toy>.")).toEqual([last("a"), 49408, last(".")]);
		expect(tokenizer.decode([last("a"), 49408, last(".")])).toBe("a <cat-toy> .");
	});
	test("set another length", async () => {
		const short = await load({ "tokenizer_config.json": set({ model_max_length: 16 }) });
		expect(short.encode("a ".repeat(20))).toMatchObject({ endPosition: 15, truncated: "a a a a a a" });
		const unlimited = await load({ "tokenizer_config.json": set({ model_max_length: 1e30 }) });
		expect(unlimited.length).toBe(77);
	});
});

describe("refusals name the file", () => {
	test.each<[string, string, (text: string) => string | null, RegExp]>([
		["no vocabulary", "vocab.json", () => null, /cannot read .*vocab\.json: it does not exist/],
		["no merges", "merges.txt", () => null, /cannot read .*merges\.txt: it does not exist/],
		["no configuration", "tokenizer_config.json", () => null, /cannot read .*tokenizer_config\.json/],
		["a cut vocabulary", "vocab.json", (text) => text.slice(0, 5000), /vocab\.json .*not valid JSON/],
		["a list", "vocab.json", () => "[]", /vocab\.json .*not a JSON object/],
		["a gap", "vocab.json", (text) => text.replace(":700,", ":60000,"), /unused700.* has the id 60000 among 49408/],
		["a word for an id", "vocab.json", (text) => text.replace(":700,", ':"x",'), /has the id "x"/],
		[
			"an id twice",
			"vocab.json",
			(text) => text.replace(":700,", ":701,"),
			/unused700.*unused701.* both have the id 701/,
		],
		["a missing byte", "vocab.json", (text) => text.replace('"A":', '"AA":'), /byte symbol "A" is missing/],
		[
			"no start",
			"vocab.json",
			(text) => text.replace("startoftext", "start"),
			/"bos_token" .* is not in the vocabulary/,
		],
		["half a merge", "merges.txt", (text) => `${text}ab\n`, /merges\.txt .*line 2 is not two symbols/],
		["a foreign merge", "merges.txt", (text) => `${text}a b\n`, /line 2 is not in vocab\.json/],
		["no text", "merges.txt", () => "\ud800\udfff", /line 1/],
		["another class", "tokenizer_config.json", set({ tokenizer_class: "T5Tokenizer" }), /"tokenizer_class"/],
		["a wrong token", "special_tokens_map.json", set({ pad_token: 3 }), /special_tokens_map\.json .*"pad_token"/],
		["an unknown token", "special_tokens_map.json", set({ pad_token: "[P]" }), /_map\.json .*"\[P\]" is not in/],
	])("%s", async (_, file, change, message) => {
		const error = await load({ [file]: change }).catch((caught: unknown) => caught);
		expect(error).toBeInstanceOf(DreamdistError);
		expect(String(error)).toMatch(message);
	});
	test("bytes that are no text", async () => {
		const path = await variant({});
		await writeFile(join(path, "merges.txt"), Uint8Array.of(0xff, 0xfe, 0x00));
		await expect(loadTokenizer(path)).rejects.toThrow(/merges\.txt .*not UTF-8/);
	});
	test("a folder that cannot be made", async () => {
		const file = join(folder, "a-file");
		await writeFile(file, "");
		await expect(writeByteLevelTokenizer(join(file, "tokenizer"))).rejects.toThrow(/a part of its path is a file/);
	});
});
