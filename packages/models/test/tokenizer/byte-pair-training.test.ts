import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { loadTokenizer, trainBytePairs, writeBytePairTokenizer } from "../../src/index.js";

const folder = mkdtempSync(join(tmpdir(), "dreamdist-pairs-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const TEXTS = ["an owl and an owl", "an old oil lamp", "two owls, by the sea", "a café, 12 cups"];

describe("trainBytePairs", () => {
	test("merges the most frequent pair first, and the first in order where several are", () => {
		// "an" three times, "ow" and "wl</w>" twice, …
		const { merges } = trainBytePairs(["an an an ow wl"], 516);
		expect(merges).toEqual([
			["a", "n</w>"],
			["o", "w</w>"],
		]);
		// Within words only.
		expect(trainBytePairs(["a b c"], 600).merges).toEqual([]);
		// Overlapping pairs are merged from the left.
		expect(trainBytePairs(["aaa aaa"], 515).merges).toEqual([["a", "a"]]);
	});

	test("stops when every word is one token, or the vocabulary is full", () => {
		const all = trainBytePairs(TEXTS, 4000);
		expect(all.vocabulary.length).toBe(512 + all.merges.length + 2);
		expect(all.vocabulary.length).toBeLessThan(600);
		const few = trainBytePairs(TEXTS, 520);
		expect(few.merges).toHaveLength(6);
		expect(few.merges).toEqual(all.merges.slice(0, 6));
		expect(() => trainBytePairs(TEXTS, 513)).toThrow("a byte-pair vocabulary has at least 514 tokens, not 513");
	});

	test("gives the same vocabulary for the same texts in another order", () => {
		expect(trainBytePairs(TEXTS.toReversed(), 540)).toEqual(trainBytePairs(TEXTS, 540));
	});
});

test("the files are CLIP's, with padding 0, and are read back by its tokenizer", async () => {
	const pairs = trainBytePairs(TEXTS, 4000);
	await writeBytePairTokenizer(folder, pairs);
	expect(readFileSync(join(folder, "merges.txt"), "utf8").startsWith("#version: 0.2\n")).toBe(true);
	const tokenizer = await loadTokenizer(folder);
	const size = pairs.vocabulary.length;
	expect(tokenizer).toMatchObject({ length: 77, vocabularySize: size, startId: size - 2, endId: size - 1, padId: 0 });
	const { ids, endPosition, truncated } = tokenizer.encode("An owl, by the sea");
	expect(truncated).toBeNull();
	// Every word that it was made from is one token.
	expect(endPosition).toBe(1 + 6);
	expect([...ids.slice(endPosition)]).toEqual([size - 1, ...new Array<number>(77 - endPosition - 1).fill(0)]);
	expect(tokenizer.decode(ids.slice(1, endPosition))).toBe("an owl , by the sea");
	// Words it has never met are spelled.
	expect(tokenizer.decode(tokenizer.tokenize("zebra café"))).toBe("zebra café");
	expect(tokenizer.tokenize("zebra").length).toBeGreaterThan(1);
});
