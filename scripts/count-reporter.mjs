// A vitest reporter: the counts alone on the last line or, where DD_TEST_COUNTS names a file, in that file together with a
// line for everything that failed.
import { writeFileSync } from "node:fs";
import { countLine } from "./counts.mjs";

const OUTCOMES = { passed: "passed", skipped: "skipped", pending: "skipped" };

export default class CountReporter {
	onTestRunEnd(modules, unhandledErrors) {
		// What fails outside any test counts as a failure: a file that does not load, a hook, a stray rejection.
		const counts = { passed: 0, failed: 0, skipped: 0 };
		const failures = [];
		const fail = (where, errors) => {
			counts.failed++;
			failures.push(`${where}: ${errors?.map((error) => error.message.split("\n", 1)[0]).join("; ") ?? "failed"}`);
		};
		for (const error of unhandledErrors) fail("outside any test", [error]);
		for (const module of modules) {
			for (const suite of [module, ...module.children.allSuites()]) {
				if (suite.errors().length > 0) fail(suite.fullName ?? module.moduleId, suite.errors());
			}
			for (const test of module.children.allTests()) {
				const { state, errors } = test.result();
				if (state === "failed") fail(`${module.moduleId} > ${test.fullName}`, errors);
				else counts[OUTCOMES[state]]++;
			}
		}
		if (process.env.DD_TEST_COUNTS) writeFileSync(process.env.DD_TEST_COUNTS, JSON.stringify({ counts, failures }));
		else console.log(countLine(counts));
	}
}
