// What --model means: a path of the user's, or a model from the Hub in the cache on this machine.
import { existsSync } from "node:fs";
import { userPath } from "./paths.js";

/** @throws HubError naming the model and the command that fetches it */
export async function resolveModel(model: string, directory: string): Promise<string> {
	const path = userPath(model, directory);
	if (existsSync(path)) return path;
	const { resolveCached } = await import("@dreamdist/models");
	return resolveCached(model);
}
