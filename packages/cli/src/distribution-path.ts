// What a path of a distribution stands for, and what is read from it.
import { existsSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import type { FittedDistribution, PromptDistribution } from "@dreamdist/core";
import { UsageError } from "./errors.js";
import { userPath } from "./paths.js";

/** What a run of Textual Inversion has learned: an embedding, which is a distribution of one prompt. */
const EMBEDDING = "learned_embeds.safetensors";

/** The distribution file that a path stands for: itself, or that of a run folder. */
export function distributionFile(path: string, directory: string): string {
	const full = userPath(path, directory);
	if (!existsSync(full) || !statSync(full).isDirectory()) return full;
	const [file, embedding] = ["distribution.safetensors", EMBEDDING].map((name) => join(full, name)) as [string, string];
	return !existsSync(file) && existsSync(embedding) ? embedding : file;
}

export interface DistributionChoice {
	readonly class?: string;
	readonly prefix?: string;
	readonly suffix?: string;
}

/**
 * Opens a distribution and takes the class and the words that were asked for.
 *
 * @throws UsageError for what it can't give; FileError or FormatError naming the file
 */
export async function openDistribution(
	path: string,
	options: DistributionChoice,
	directory: string,
): Promise<PromptDistribution | FittedDistribution> {
	const { FittedDistribution, importDistribution, loadDistribution } = await import("@dreamdist/core");
	const file = distributionFile(path, directory);
	const loaded =
		basename(file) === EMBEDDING ? (await importDistribution(file)).distribution : await loadDistribution(file);
	if (options.class === undefined && loaded.classes && loaded.classes.length > 1) {
		const some = loaded.classes.slice(0, 8).join(", ");
		const more = loaded.classes.length > 8 ? ", …" : "";
		throw new UsageError(`${file} has ${loaded.classes.length} classes; choose one with --class (${some}${more})`);
	}
	const { prefix, suffix } = options;
	if (loaded instanceof FittedDistribution) {
		if (prefix !== undefined || suffix !== undefined)
			throw new UsageError(
				`${file} holds fitted features without the learned vectors, so --prefix and --suffix can't be applied to it`,
			);
		return options.class === undefined ? loaded : loaded.ofClass(options.class);
	}
	const chosen = options.class === undefined ? loaded : loaded.ofClass(options.class);
	return chosen.edit({ ...(prefix !== undefined && { prefix }), ...(suffix !== undefined && { suffix }) });
}
