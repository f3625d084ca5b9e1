// What --model means: "mini", which comes with the packages; a path of the user's; or a model from the Hub in the cache on this machine.
import { existsSync } from "node:fs";
import { userPath } from "./paths.js";

/** The embedded model, and what --model is where nothing is said. A folder of that name is `./mini`. */
export const DEFAULT_MODEL = "mini";

/**
 * The folder or file of a model.
 *
 * @throws HubError naming the model and the command that fetches it; EmbeddedModelError where the embedded one has no weights
 */
export async function resolveModel(model: string, directory: string): Promise<string> {
	const path = userPath(model, directory);
	if (model !== DEFAULT_MODEL && existsSync(path)) return path;
	const { findModel } = await import("@dreamdist/models");
	return findModel(model);
}

/** What `loadPipeline` is given, so that records name the embedded model by its name and others by their path. */
export async function loadableModel(model: string, directory: string): Promise<string> {
	return model === DEFAULT_MODEL ? model : resolveModel(model, directory);
}
