import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

/** One case of a reference set; further attributes depend on its kind. */
export interface ReferenceCase {
	name: string;
	kind: string;
	/** Absolute. */
	file: string;
	[attribute: string]: unknown;
}

const root = resolve(import.meta.dirname, "../../../..");
const setFolder = join(process.env.DD_SHARED ?? resolve(root, "../shared"), "reference/tiny-sd21");

/** Cases of the reference set by kind; none, with the reason printed, where the set is not beside the repository. */
export function referenceCases(kind: string): ReferenceCase[] {
	const index = join(setFolder, "cases.json");
	if (!existsSync(index)) {
		console.warn(`Skipping reference cases of kind ${kind}: there is no ${index} (DD_SHARED names its folder).`);
		return [];
	}
	const { cases } = JSON.parse(readFileSync(index, "utf8")) as { cases: ReferenceCase[] };
	return cases.filter((one) => one.kind === kind).map((one) => ({ ...one, file: join(setFolder, one.file) }));
}

/** ‖actual − expected‖ / ‖expected‖ */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
	let difference = 0;
	let norm = 0;
	for (let i = 0; i < expected.length; i++) {
		difference += (actual[i]! - expected[i]!) ** 2;
		norm += expected[i]! ** 2;
	}
	return Math.sqrt(difference / norm);
}
