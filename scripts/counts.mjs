// Counts of tests, and the one line that states them so that any log reader can find it.
import { readFileSync } from "node:fs";

/** The exit code of a script that could test nothing, because this machine lacks a tool. */
export const CANNOT_RUN = 77;

/** `N passed, N failed, N skipped` */
export function countLine({ passed, failed, skipped }) {
	return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

/** The sum of several counts. */
export function addCounts(...counts) {
	const total = { passed: 0, failed: 0, skipped: 0 };
	for (const count of counts) for (const key of Object.keys(total)) total[key] += count[key];
	return total;
}

/** The counts and the lines on failures that CountReporter left in a file; zeros where it left none. */
export function readReport(file) {
	try {
		return JSON.parse(readFileSync(file, "utf8"));
	} catch {
		return { counts: { passed: 0, failed: 0, skipped: 0 }, failures: [] };
	}
}

/** The counts in the last such line of a text, or undefined where there is none. */
export function parseCounts(text) {
	const match = [...text.matchAll(/^(\d+) passed, (\d+) failed, (\d+) skipped\s*$/gm)].at(-1);
	return match && { passed: Number(match[1]), failed: Number(match[2]), skipped: Number(match[3]) };
}
