// A vitest reporter: the counts alone on the last line or, where DD_TEST_COUNTS names a file, in that file.
import { writeFileSync } from "node:fs";
import { countLine } from "./counts.mjs";

const OUTCOMES = { passed: "passed", failed: "failed", skipped: "skipped", pending: "skipped" };

export default class CountReporter {
	onTestRunEnd(modules, unhandledErrors) {
		// What fails outside any test counts as a failure: a file that does not load, a hook, a stray rejection.
		const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
		for (const module of modules) {
			counts.failed += [module, ...module.children.allSuites()].filter((suite) => suite.errors().length > 0).length;
			for (const test of module.children.allTests()) counts[OUTCOMES[test.result().state]]++;
		}
		if (process.env.DD_TEST_COUNTS) writeFileSync(process.env.DD_TEST_COUNTS, JSON.stringify(counts));
		else console.log(countLine(counts));
	}
}
