// What pictures are made from: a text, a learned distribution, or a mix of several, as the command line names them.
import { basename, extname, join } from "node:path";
import type { FittedDistribution, PromptDistribution, SampledSource } from "@dreamdist/core";
import { openDistribution } from "../distribution-path.js";
import { UsageError } from "../errors.js";
import { userPath } from "../paths.js";
import type { Sweep } from "./sweep.js";

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
	/** Where prompts are drawn: among the encoder's features, or among token embeddings. */
	space: "features" | "tokens";
	sweep?: Sweep;
}

/** What one picture, or one column of a sweep, is made from. */
export interface SourceColumn {
	/** Empty but in a sweep. */
	readonly label: string;
	/** What a file's name has of it; empty but in a sweep. */
	readonly suffix: string;
	readonly source: SampledSource | string;
	/** What of a picture's recipe is about its source. */
	readonly recipe: Readonly<Record<string, unknown>>;
}

/** What was learned by another method, on top of a model or in its place. */
export interface TunedSources {
	/** Factor of LoRA's changes: the weight that was given. */
	readonly strength: number;
	readonly files: readonly string[];
	/** The model to load: the one asked for, the whole model that was learned, or the one it was learned with. */
	readonly model: string | null;
	/** Shows what was learned. */
	readonly prompt: string;
}

/**
 * What of other methods is named; null where distributions are, or nothing.
 *
 * @param model as it was asked for; undefined where it was not
 * @throws UsageError for sources that do not go together; FormatError for a run that has not finished
 */
export async function findTunedSources(
	names: readonly string[],
	options: SourceOptions & { model?: string | undefined },
	directory: string,
): Promise<TunedSources | null> {
	const { findTuned } = await import("@dreamdist/models");
	const named = names.map(parseNamedSource);
	const found = await Promise.all(named.map(({ path }) => findTuned(userPath(path, directory))));
	const tuned = found.filter((each) => each !== null);
	if (tuned.length === 0) return null;
	const distribution = named[found.indexOf(null)];
	if (distribution)
		throw new UsageError(
			`${distribution.path} is a distribution of prompts and ${tuned[0]!.path} is not; they can't be mixed`,
		);
	for (const [flag, value] of Object.entries({
		"--sweep": options.sweep,
		"--prefix": options.prefix,
		"--suffix": options.suffix,
		"--class": options.class,
		"--mean": options.mean,
	}))
		if (value !== undefined)
			throw new UsageError(`${flag} is for distributions of prompts; say what to paint with --prompt instead`);
	const folders = tuned.flatMap(({ folder }) => (folder === null ? [] : [folder]));
	if (folders.length > 1 || (folders.length > 0 && options.model !== undefined))
		throw new UsageError(`${folders[0]} is a whole model, and there can be one; leave out the other`);
	const prompt = options.prompt ?? tuned.find((each) => each.prompt !== null)?.prompt;
	if (prompt === undefined || prompt === null)
		throw new UsageError(`${tuned[0]!.path} does not say what shows it; write what to paint with --prompt`);
	const weights = new Set(named.map(({ weight }) => weight ?? 1));
	if (weights.size > 1) throw new UsageError("different weights are for distributions of prompts only");
	return {
		strength: [...weights][0]!,
		files: tuned.flatMap(({ files }) => files),
		model: options.model ?? folders[0] ?? tuned.find(({ model }) => model !== null)?.model ?? null,
		prompt,
	};
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

/** What a distribution is called: its run folder's name, or its file's without ending. */
export function sourceName(path: string): string {
	const name = basename(path);
	return name === "distribution.safetensors" ? basename(join(path, "..")) : basename(name, extname(name));
}

interface Part {
	readonly name: string;
	readonly weight: number;
	readonly source: PromptDistribution | FittedDistribution;
}

/** Opens the named distributions, edited and scaled as asked. @throws FileError or FormatError naming a distribution's file */
async function openParts(names: readonly string[], options: SourceOptions, directory: string): Promise<Part[]> {
	const sources = names.map(parseNamedSource);
	const weights = weightsOf(sources);
	const parts: Part[] = [];
	for (const [i, { path, gamma }] of sources.entries()) {
		const distribution = await openDistribution(path, options, directory);
		const source = distribution.scale(options.mean ? 0 : gamma * options.scale);
		parts.push({ name: sourceName(path), weight: weights[i]!, source });
	}
	return parts;
}

/** What pictures are made from: one column, or those of a sweep. @throws UsageError for options that do not go together */
export async function openSources(
	names: readonly string[],
	options: SourceOptions,
	directory: string,
): Promise<SourceColumn[]> {
	const { prompt, sweep, space } = options;
	checkOptions(names, options);
	if (prompt !== undefined) return [{ label: "", suffix: "", source: prompt, recipe: { prompt } }];
	const { PromptDistribution, sweepMix, sweepScale, sweptWeights } = await import("@dreamdist/core");
	const parts = await openParts(names, options, directory);
	const weights = parts.map(({ weight }) => weight);
	const isMix = parts.length > 1 || weights[0] !== 1;
	const recipe = {
		distributions: names,
		scale: options.mean ? 0 : options.scale,
		space,
		...(isMix && { mix: options.mix, weights }),
		...(options.prefix !== undefined && { prefix: options.prefix }),
		...(options.suffix !== undefined && { suffix: options.suffix }),
		...(options.class !== undefined && { class: options.class }),
	};
	if (sweep?.kind === "mix") {
		const sources = sweepMix(parts, sweep.values, options.mix);
		return sweep.values.map((value, i) => {
			const own = sweptWeights(weights, value);
			const label = parts.map(({ name }, k) => `${plain(own[k]!)} ${name}`).join(" + ");
			return { label, suffix: `-mix${plain(value)}`, source: sources[i]!, recipe: { ...recipe, weights: own } };
		});
	}
	const mixed = isMix ? PromptDistribution.mix(parts, options.mix) : parts[0]!.source;
	const source = space === "tokens" ? inTokenSpace(parts[0]!) : mixed;
	if (!sweep) return [{ label: "", suffix: "", source, recipe }];
	const sources = sweepScale(source, sweep.values);
	return sweep.values.map((scale, i) => ({
		label: `scale ${plain(scale)}`,
		suffix: `-scale${plain(scale)}`,
		source: sources[i]!,
		recipe: { ...recipe, scale },
	}));
}

function inTokenSpace({ name, source }: Part): SampledSource {
	if ("inTokenSpace" in source) return source.inTokenSpace();
	throw new UsageError(
		`${name} holds fitted features without the learned vectors; --space tokens can't draw among those`,
	);
}

const plain = (value: number) => String(Number(value.toFixed(6)));

function checkOptions(names: readonly string[], options: SourceOptions): void {
	const { prompt, sweep, space, mean, scale } = options;
	if (names.length === 0 && prompt === undefined)
		throw new UsageError(
			'generate needs a text (--prompt "a lighthouse at night") or a learned distribution (RUN or a .safetensors file)',
		);
	if (prompt !== undefined) {
		if (names.length > 0)
			throw new UsageError(
				"--prompt and a distribution do not go together; put words around a distribution with --prefix and --suffix",
			);
		if (sweep) throw new UsageError("--sweep needs learned distributions; a text has no spread to scale or mix");
		if (space === "tokens")
			throw new UsageError("--space tokens needs a learned distribution; a text has no prompts to draw from");
	}
	if (space === "tokens" && (names.length > 1 || sweep?.kind === "mix"))
		throw new UsageError(
			"--space tokens draws from one distribution; mixes (--sweep mix, several distributions) are of features",
		);
	if (sweep?.kind === "scale" && (mean || scale !== 1))
		throw new UsageError(`--sweep scale sets the scale itself; leave out ${mean ? "--mean" : "--scale"}`);
	if (sweep?.kind === "mix" && names.length < 2)
		throw new UsageError("--sweep mix needs two distributions or more: generate RUN1 RUN2 --sweep mix=0:1:0.25");
}
