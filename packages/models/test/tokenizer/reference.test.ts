import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { loadTokenizer } from "../../src/tokenizer/index.js";

const shared = process.env.DD_SHARED ?? resolve(import.meta.dirname, "../../../../../shared");
const set = join(shared, "reference/tiny-sd21");
const folder = join(set, "model/tokenizer");
const isPresent = existsSync(join(folder, "vocab.json"));
if (!isPresent) console.warn(`Skipping CLIP's vocabulary: there is no ${folder} (DD_SHARED names its folder).`);

describe.skipIf(!isPresent)("CLIP's vocabulary", () => {
	const padded = (...ids: number[]): number[] => [...ids, ...new Array(77 - ids.length).fill(0)];

	test("gives the reference set's ids", async () => {
		const tokenizer = await loadTokenizer(folder);
		const { cases } = JSON.parse(readFileSync(join(set, "cases/tokenizer.json"), "utf8")) as {
			cases: { text: string; ids: number[] }[];
		};
		expect(cases.length).toBeGreaterThan(20);
		for (const { text, ids } of cases) expect([...tokenizer.encode(text).ids], text).toEqual(ids);
	});
	test.each([
		["X X X X church.", padded(49406, 343, 343, 343, 343, 2735, 269, 49407)],
		["a photo of X X at night", padded(49406, 320, 1125, 539, 343, 343, 536, 930, 49407)],
		["wow! great", padded(49406, 2781, 0, 830, 49407)],
	])("gives the Hub's ids for %j", async (text, ids) => {
		expect([...(await loadTokenizer(folder)).encode(text).ids]).toEqual(ids);
	});
	test("reads the padding token as OpenCLIP does on request", async () => {
		const tokenizer = await loadTokenizer(folder, { padIsText: true });
		expect(tokenizer.tokenize("wow! great")).toEqual([2781, 256, 830]);
	});
	test("names a token", async () => {
		const tokenizer = await loadTokenizer(folder);
		expect(tokenizer.decode(7865)).toBe("cathedral");
		const { truncated } = tokenizer.encode(`${"the quick brown fox ".repeat(19)}jumps over it`);
		expect(truncated).toBe("fox jumps over it");
	});
});
