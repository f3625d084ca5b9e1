// What pictures are made from: a text, a learned distribution, or a mix of several, as the command line names them.
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import type { PromptDistribution, PromptSource } from "@dreamdist/core";
import { UsageError } from "../errors.js";
import { userPath } from "../paths.js";

export interface SourceOptions {
	prompt?: string;
	/** Factor of every distribution's deviation. */
	scale: number;
	/** Only the mean: no deviation at all. */
	mean?: boolean;
	prefix?: string;
	suffix?: string;
	class?: string;
	mix: "paper" | "official";
}

export interface NamedSource {
	readonly path: string;
	/** Null where the user gave none. */
	readonly weight: number | null;
	readonly gamma: number;
}

/** `PATH[:weight[:gamma]]`. A path may hold colons itself: only numbers at its end are taken off. */
export function parseNamedSource(text: string): NamedSource {
	const match = /^(.+?)(?::([+-]?(?:\d+\.?\d*|\.\d+)))?(?::([+-]?(?:\d+\.?\d*|\.\d+)))?$/.exec(text);
	if (!match) throw new UsageError(`"${text}" names no distribution; write PATH, PATH:weight or PATH:weight:gamma`);
	const [, path, weight, gamma] = match;
	return {
		path: path!,
		weight: weight === undefined ? null : Number(weight),
		gamma: gamma === undefined ? 1 : Number(gamma),
	};
}

/** Weights as given, or equal ones where none is. @throws UsageError where some have one and others none */
export function weightsOf(sources: readonly NamedSource[]): number[] {
	const given = sources.filter(({ weight }) => weight !== null);
	if (given.length === 0) return sources.map(() => 1 / sources.length);
	const without = sources.find(({ weight }) => weight === null);
	if (without && sources.length > 1)
		throw new UsageError(
			`${without.path} has no weight and others have; give all of them one, as in ${without.path}:0.5`,
		);
	return sources.map(({ weight }) => weight ?? 1);
}

/** The distribution file that a path stands for: itself, or that of a run folder. */
function distributionFile(path: string, directory: string): string {
	const full = userPath(path, directory);
	return existsSync(full) && statSync(full).isDirectory() ? join(full, "distribution.safetensors") : full;
}

/** @throws UsageError for options that do not go together; FileError or FormatError naming a distribution's file */
export async function openSource(
	names: readonly string[],
	options: SourceOptions,
	directory: string,
): Promise<PromptSource | string> {
	if (names.length === 0) {
		if (options.prompt !== undefined) return options.prompt;
		throw new UsageError(
			'generate needs a text (--prompt "a lighthouse at night") or a learned distribution (RUN or a .safetensors file)',
		);
	}
	if (options.prompt !== undefined)
		throw new UsageError(
			"--prompt and a distribution do not go together; put words around a distribution with --prefix and --suffix",
		);
	const { PromptDistribution } = await import("@dreamdist/core");
	const sources = names.map(parseNamedSource);
	const weights = weightsOf(sources);
	const distributions: PromptDistribution[] = [];
	for (const { path, gamma } of sources) {
		let distribution = await PromptDistribution.load(distributionFile(path, directory));
		if (options.class !== undefined) distribution = distribution.ofClass(options.class);
		const { prefix, suffix } = options;
		if (prefix !== undefined || suffix !== undefined)
			distribution = distribution.edit({
				...(prefix !== undefined && { prefix }),
				...(suffix !== undefined && { suffix }),
			});
		distributions.push(distribution.scale(options.mean ? 0 : gamma * options.scale));
	}
	if (distributions.length === 1 && (sources[0]!.weight ?? 1) === 1) return distributions[0]!;
	return PromptDistribution.mix(
		distributions.map((source, i) => ({ source, weight: weights[i]! })),
		options.mix,
	);
}
