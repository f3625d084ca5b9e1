// What a command printed, for tests that run commands in their own process.
import { vi } from "vitest";
import { runCli } from "../src/main.js";

/** Since `capturePrinted`, on standard output and standard error. */
export const printed = { out: "", err: "" };

/** From here on what is printed is kept, not shown; `vi.restoreAllMocks()` ends it. */
export function capturePrinted(): void {
	Object.assign(printed, { out: "", err: "" });
	for (const [key, stream] of [
		["out", process.stdout],
		["err", process.stderr],
	] as const)
		vi.spyOn(stream, "write").mockImplementation((text) => {
			printed[key] += String(text);
			return true;
		});
}

/** Runs a command line: its exit code, and what it printed. */
export async function dd(...args: string[]): Promise<{ code: number; out: string; err: string }> {
	capturePrinted();
	try {
		return { code: await runCli(args), ...printed };
	} finally {
		vi.restoreAllMocks();
	}
}
