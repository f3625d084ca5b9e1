// What a distribution, or a run's, has learned.
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { DistributionInspection, FittedDistribution, PromptDistribution } from "@dreamdist/core";
import type { CommonOptions } from "../common-options.js";
import { CommandError, UsageError } from "../errors.js";
import { loadableModel } from "../model-path.js";

export interface RunReport {
	readonly status: string;
	/** Of the last checkpoint. */
	readonly step: number;
	/** Steps asked for. */
	readonly steps: number;
	readonly pictures: number;
	/** Of the last step; null before the first. */
	readonly loss: number | null;
}

export interface DistributionReport {
	readonly kind: "distribution" | "features" | "run";
	readonly path: string;
	/** Null where only fitted features are known, or nothing yet. */
	readonly prompts: number | null;
	readonly vectors: number | null;
	readonly width: number | null;
	readonly classes: readonly string[] | null;
	readonly class: string | null;
	readonly words: { readonly prefix: string; readonly suffix: string } | null;
	readonly baseModel: { readonly id: string; readonly hash: string } | null;
	readonly settings: Readonly<Record<string, unknown>>;
	readonly run: RunReport | null;
	/** Null without a model. */
	readonly compatibility: string | null;
	/** What the model's text encoder says of it; of fitted features, what they say themselves. */
	readonly inspection: Partial<DistributionInspection> | null;
}

export interface InspectOptions extends CommonOptions {
	readonly model?: string;
	readonly class?: string;
}

async function runReport(folder: string): Promise<RunReport | null> {
	const { readMetrics, readRunRecord, runPaths } = await import("@dreamdist/core");
	const paths = runPaths(folder);
	const record = await readRunRecord(paths.record);
	if (!record) return null;
	const { status, step, settings, pictures } = record;
	const last = (await readMetrics(paths.metrics)).at(-1);
	return { status, step, steps: settings.steps, pictures: pictures.length, loss: last?.loss ?? null };
}

/** @throws FileError or FormatError naming the file; CommandError for a folder with neither a run nor a distribution in it */
export async function describeDistribution(
	path: string,
	isFolder: boolean,
	options: InspectOptions,
	context: { readonly signal: AbortSignal; readonly directory: string },
): Promise<DistributionReport> {
	const { FittedDistribution, loadDistribution, spreadOf } = await import("@dreamdist/core");
	const run = isFolder ? await runReport(path) : null;
	const file = isFolder ? join(path, "distribution.safetensors") : path;
	if (isFolder && !existsSync(file)) {
		if (!run) throw new CommandError(`${path} holds neither a model, nor a run, nor a distribution.`);
		return { ...NOTHING, kind: "run", path, run };
	}
	const loaded = await loadDistribution(file);
	if (options.class !== undefined && !loaded.classes)
		throw new UsageError(`${file} has no classes, so --class ${options.class} does not apply`);
	const distribution = options.class === undefined ? loaded : loaded.ofClass(options.class);
	const isFitted = distribution instanceof FittedDistribution;
	const seen = options.model === undefined ? null : await throughModel(distribution, options.model, options, context);
	return {
		kind: run ? "run" : isFitted ? "features" : "distribution",
		path: file,
		prompts: isFitted ? null : distribution.prompts,
		vectors: isFitted ? null : distribution.vectors,
		width: distribution.width,
		classes: distribution.classes,
		class: distribution.className,
		words: isFitted ? null : distribution.words,
		baseModel: distribution.baseModel,
		settings: distribution.settings,
		run,
		compatibility: seen?.compatibility ?? null,
		inspection: seen?.inspection ?? (isFitted ? spreadOf(distribution.features) : null),
	};
}

const NOTHING = {
	prompts: null,
	vectors: null,
	width: null,
	classes: null,
	class: null,
	words: null,
	baseModel: null,
	settings: {},
	compatibility: null,
	inspection: null,
} as const;

async function throughModel(
	distribution: PromptDistribution | FittedDistribution,
	name: string,
	{ device, dtype }: InspectOptions,
	{ signal, directory }: { readonly signal: AbortSignal; readonly directory: string },
): Promise<{ compatibility: string; inspection: DistributionInspection | null }> {
	const [{ FittedDistribution, inspectDistribution, PromptEncoder }, { loadPipeline }] = await Promise.all([
		import("@dreamdist/core"),
		import("@dreamdist/models"),
	]);
	const pipe = await loadPipeline(await loadableModel(name, directory), { device, dtype, signal });
	const encoder = new PromptEncoder(pipe.device, pipe.textEncoder);
	try {
		const { width } = pipe.textEncoder;
		if (width !== distribution.width) {
			const compatibility = `does not fit: its width is ${distribution.width}, the model's text encoder has ${width}`;
			return { compatibility, inspection: null };
		}
		const inspection =
			distribution instanceof FittedDistribution ? null : await inspectDistribution(encoder, distribution);
		return { compatibility: compatibility(distribution, pipe.identity.hash), inspection };
	} finally {
		encoder.dispose();
		pipe.dispose();
	}
}

function compatibility({ baseModel }: PromptDistribution | FittedDistribution, hash: string): string {
	if (!baseModel) return "it does not say which model it was learned with; its width fits";
	return baseModel.hash === hash
		? "learned with this text encoder"
		: `learned with another text encoder of the same width (${baseModel.id}); it may mean nothing here`;
}

const short = (value: number) => Number(value.toPrecision(3));

export function renderDistribution(report: DistributionReport): string {
	const { run, words, classes, inspection } = report;
	return [
		report.path,
		...(run
			? [
					`run: ${run.status}, last checkpoint at step ${run.step} of ${run.steps}, ${run.pictures} pictures${run.loss === null ? "" : `, last loss ${short(run.loss)}`}`,
				]
			: []),
		...(report.prompts !== null
			? [`${report.prompts} prompts of ${report.vectors} vectors, width ${report.width}`]
			: report.width !== null
				? [`fitted features of width ${report.width}, without the vectors they were fitted to`]
				: ["nothing learned yet: the first checkpoint is still to come"]),
		...(classes ? [`classes: ${classes.join(", ")}; this is ${report.class}`] : []),
		...(words && (words.prefix || words.suffix)
			? [`worded: ${[words.prefix, "…", words.suffix].filter((part) => part !== "").join(" ")}`]
			: []),
		...(report.baseModel ? [`learned with ${report.baseModel.id}`] : []),
		...(report.compatibility === null ? [] : [`compatibility: ${report.compatibility}`]),
		...(inspection ? renderInspection(inspection) : []),
		...(report.prompts !== null && report.compatibility === null
			? ["Give a --model to see the nearest words, deviations and cosines."]
			: []),
	].join("\n");
}

function renderInspection(inspection: Partial<DistributionInspection>): string[] {
	const { meanWords, words, spread, effectiveSpread, positionStd, cosines } = inspection;
	const list = (near: DistributionInspection["meanWords"]) =>
		near.map(({ word, distance }) => `${word} (${short(distance)})`).join("  ");
	const pairs = (cosines ?? []).flatMap((row, i) => row.slice(i + 1).map(Math.abs));
	return [
		...(meanWords ? [`nearest words of the mean: ${list(meanWords)}`] : []),
		...(words ?? []).map((near, k) => `  prompt ${k + 1}: ${list(near)}`),
		...(spread === undefined || effectiveSpread === undefined
			? []
			: [`spread: ${short(effectiveSpread)} where it varies, ${short(spread)} over all positions`]),
		...(positionStd ? [`deviation by position: ${positionStd.map(short).join(" ")}`] : []),
		...(pairs.length > 0
			? [
					`|cosine| between prompts: ${short(pairs.reduce((a, b) => a + b) / pairs.length)} on average, ${short(Math.max(...pairs))} at most`,
				]
			: []),
	];
}
