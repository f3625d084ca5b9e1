// What the last line of a test run says, and the exit code beside it.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { addCounts, countLine, parseCounts } from "../scripts/counts.mjs";

const repository = fileURLToPath(new URL("..", import.meta.url));
let folder: string;

/** Runs vitest on files in a folder of the repository (they import vitest), with our reporter and no other. */
function runVitest(files: Record<string, string>, env: Record<string, string> = {}) {
	for (const [name, body] of Object.entries(files)) {
		writeFileSync(join(folder, name), `import { beforeAll, expect, it } from "vitest";\n${body}\n`);
	}
	const reporter = join(repository, "scripts", "count-reporter.mjs");
	const outer = Object.entries(process.env).filter(([name]) => !/^(VITEST|NODE_OPTIONS|DD_TEST_COUNTS)/.test(name));
	const result = spawnSync(
		process.execPath,
		[
			join(repository, "node_modules", "vitest", "vitest.mjs"),
			"run",
			"--config",
			"none.config.ts",
			"--root",
			folder,
			"--reporter",
			reporter,
		],
		{ encoding: "utf8", cwd: folder, env: { ...Object.fromEntries(outer), ...env } },
	);
	return { status: result.status, lastLine: result.stdout.trimEnd().split("\n").at(-1), stdout: result.stdout };
}

beforeEach(() => {
	const cache = join(repository, "node_modules", ".cache");
	mkdirSync(cache, { recursive: true });
	folder = mkdtempSync(join(cache, "counts-"));
	writeFileSync(join(folder, "none.config.ts"), "export default {};\n");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("the count reporter", () => {
	it("counts tests that pass, fail and are skipped", () => {
		const { status, lastLine } = runVitest({
			"a.test.ts": 'it("a", () => {}); it("b", () => {}); it.skip("c", () => {}); it("d", () => expect(1).toBe(2));',
		});
		expect({ status, lastLine }).toEqual({ status: 1, lastLine: "2 passed, 1 failed, 1 skipped" });
	});

	it("counts a file that does not load, a hook that throws and a stray rejection as failures", () => {
		const { status, lastLine } = runVitest({
			"a.test.ts": 'throw new Error("a");',
			"b.test.ts": 'beforeAll(() => { throw new Error("b"); }); it("never runs", () => {});',
			"c.test.ts":
				'it("passes", async () => { void Promise.reject(new Error("c")); await new Promise((r) => setTimeout(r, 50)); });',
		});
		expect({ status, lastLine }).toEqual({ status: 1, lastLine: "1 passed, 3 failed, 1 skipped" });
	});

	it("leaves the counts and what failed in a file for a caller that has more to add", () => {
		const file = join(folder, "counts.json");
		const source = 'it("a", () => {}); it("b", () => { throw new Error("two is not one\\nand more"); });';
		const { status, stdout } = runVitest({ "a.test.ts": source }, { DD_TEST_COUNTS: file });
		expect(status).toBe(1);
		expect(stdout).not.toContain("passed, ");
		const report = JSON.parse(readFileSync(file, "utf8"));
		expect(report.counts).toEqual({ passed: 1, failed: 1, skipped: 0 });
		expect(report.failures).toEqual([expect.stringMatching(/a\.test\.ts > b: two is not one$/)]);
	});
});

describe("counts", () => {
	it("read back what they print, from the last line that has them", () => {
		const counts = { passed: 3, failed: 1, skipped: 2 };
		expect(parseCounts(`9 passed, 9 failed, 9 skipped\nnoise\n${countLine(counts)}\n`)).toEqual(counts);
		expect(parseCounts("nothing was counted")).toBeUndefined();
	});

	it("add up", () => {
		const one = { passed: 1, failed: 2, skipped: 3 };
		expect(addCounts(one, one)).toEqual({ passed: 2, failed: 4, skipped: 6 });
	});
});
