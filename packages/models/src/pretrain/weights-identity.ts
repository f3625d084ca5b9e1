// Which weights something was made with.
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { readWholeFile } from "@dreamdist/core";
import { type ComponentFolder, WEIGHT_FILES } from "./model-folder.js";

const LIMIT = 2 ** 31;

/** A hash of the weights of a model folder's networks that are there. */
export async function weightsIdentity(
	folder: string,
	components: readonly ComponentFolder[] = Object.keys(WEIGHT_FILES) as ComponentFolder[],
): Promise<string> {
	const hash = createHash("sha256");
	for (const component of components) {
		const path = join(folder, component, WEIGHT_FILES[component]);
		if (existsSync(path)) hash.update(component).update(await readWholeFile(path, LIMIT));
	}
	return hash.digest("hex");
}
