import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readConfigFile } from "../src/train/config-file.js";

let folder: string;
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "dd-config-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function read(text: string): Promise<Record<string, unknown>> {
	const path = join(folder, "settings");
	writeFileSync(path, text);
	return readConfigFile(path);
}

describe("a configuration file", () => {
	it("is JSON", async () => {
		expect(await read('\n{ "steps": 3, "size": [64, 64], "snrGamma": null }')).toEqual({
			steps: 3,
			size: [64, 64],
			snrGamma: null,
		});
		await expect(read("{ steps: 3")).rejects.toThrow(/settings is not JSON/);
	});

	it("is YAML of one level", async () => {
		const text = [
			"---",
			"# what to learn",
			"steps: 300  # not many",
			"learningRate: 1e-3",
			'prefix: "a \\"photo\\" # of"',
			"suffix: 'it''s night'",
			"initialWords: church at night",
			"flip: true",
			"snrGamma: ~",
			"size: [64, 96]",
			"classNames:",
			"  - dog",
			"  - 'cat'",
			"",
		].join("\r\n");
		expect(await read(text)).toEqual({
			steps: 300,
			learningRate: 0.001,
			prefix: 'a "photo" # of',
			suffix: "it's night",
			initialWords: "church at night",
			flip: true,
			snrGamma: null,
			size: [64, 96],
			classNames: ["dog", "cat"],
		});
	});

	it("is refused with the line where it is neither", async () => {
		await expect(read("steps: 3\nnonsense")).rejects.toThrow(/line 2: expected "key: value"/);
		await expect(read("steps: 3\nsteps: 4")).rejects.toThrow(/line 2: "steps" is there twice/);
		await expect(read("- 3")).rejects.toThrow(/line 1: a list stands under no key/);
		await expect(read("size: [3, 4")).rejects.toThrow(/must end with \]/);
		await expect(read("a: {b: 1}")).rejects.toThrow(/not read here; use JSON/);
		await expect(read('a: "b')).rejects.toThrow(/not a quoted text/);
		await expect(readConfigFile(join(folder, "none"))).rejects.toThrow(/can't be read \(ENOENT\)/);
	});
});
