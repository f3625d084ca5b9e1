// Type-checks the whole repository with its tests, runs vitest, and prints the total as the very last line:
// `N passed, N failed, N skipped`. Arguments go to vitest.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { addCounts, countLine, readReport } from "./counts.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const scratch = mkdtempSync(join(tmpdir(), "dreamdist-test-"));
const countsFile = join(scratch, "counts.json");

/** Runs an installed tool with our terminal; true where it succeeded. */
function run(tool, args) {
	const env = { ...process.env, DD_TEST_COUNTS: countsFile };
	return (
		spawnSync(process.execPath, [join(root, "node_modules", tool), ...args], { cwd: root, stdio: "inherit", env })
			.status === 0
	);
}

// The study's page is JavaScript for browsers, with types of its own.
const projects = ["tsconfig.json", "packages/eval/web/tsconfig.json"];
const typesPass = projects.every((project) => run("typescript/bin/tsc", ["-p", project]));
console.log(typesPass ? "Types: no errors." : "Types: errors above.");
const types = { passed: typesPass ? 1 : 0, failed: typesPass ? 0 : 1, skipped: 0 };
const testsPass = run("vitest/vitest.mjs", ["run", ...process.argv.slice(2)]);
const { counts: tests, failures } = readReport(countsFile);
rmSync(scratch, { recursive: true, force: true });
// A run that failed outside any test (it crashed, or found no test) is a failure too.
if (!testsPass && tests.failed === 0) tests.failed = 1;
const total = addCounts(types, tests);
for (const failure of failures) console.log(`Failed: ${failure}`);
console.log(countLine(total));
process.exitCode = total.failed === 0 ? 0 : 1;
