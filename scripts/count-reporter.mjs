// Prints `N passed, N failed, N skipped` alone on the last line, so that any log reader can count.
export default class CountReporter {
	onTestRunEnd(modules) {
		const count = { passed: 0, failed: 0, skipped: 0, pending: 0 };
		for (const module of modules) {
			if (module.state() === "failed" && [...module.children.allTests()].length === 0) count.failed++;
			for (const test of module.children.allTests()) count[test.result().state]++;
		}
		console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped + count.pending} skipped`);
	}
}
