import { expect, test } from "vitest";
import { mergeNotes } from "../src/compare/table.js";

test("notes that differ in numbers alone become one, with their range", () => {
	const few = (real: number, step: string) => `so few pictures (${real} real): steps of ${step}, at k = 5`;
	expect(mergeNotes([few(12, "0.083"), "something else", few(8, "0.13"), few(20, "0.050"), few(12, "0.083")])).toEqual([
		"so few pictures (8–20 real): steps of 0.050–0.13, at k = 5",
		"something else",
	]);
	expect(mergeNotes([few(12, "0.083")])).toEqual([few(12, "0.083")]);
	expect(mergeNotes(["the set a has 2", "the set b has 3"])).toEqual(["the set a has 2", "the set b has 3"]);
});
