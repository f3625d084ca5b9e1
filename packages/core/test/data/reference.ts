import { existsSync } from "node:fs";
import { join } from "node:path";

const shared = process.env.DD_SHARED ?? join(import.meta.dirname, "../../../../../shared");

/** A folder of the reference sets, or undefined (with the reason printed) where this machine has none. */
export function referenceSet(name: string): string | undefined {
	const folder = join(shared, "reference", name);
	if (existsSync(folder)) return folder;
	console.warn(`skipped: there is no reference set at ${folder} (set DD_SHARED to the folder that holds reference/)`);
	return undefined;
}
