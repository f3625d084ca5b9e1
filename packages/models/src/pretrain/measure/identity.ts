// Which weights a measurement is of.
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { readWholeFile } from "@dreamdist/core";
import { WEIGHT_FILES } from "../model-folder.js";

const LIMIT = 2 ** 31;

/** A hash of every network's weights in a model folder. */
export async function measuredIdentity(folder: string): Promise<string> {
	const hash = createHash("sha256");
	for (const [component, file] of Object.entries(WEIGHT_FILES)) {
		const path = join(folder, component, file);
		if (existsSync(path)) hash.update(component).update(await readWholeFile(path, LIMIT));
	}
	return hash.digest("hex");
}
