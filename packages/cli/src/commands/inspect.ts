// `dreamdist inspect`: what a distribution says, alone and through a model.
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import type { DistributionInspection, PromptDistribution } from "@dreamdist/core";
import type { Command } from "commander";
import { addExample } from "../common-options.js";
import type { CommandContext, CommandModule } from "../context.js";
import { UsageError } from "../errors.js";
import { userPath } from "../paths.js";

interface InspectArguments {
	model?: string;
	class?: string;
}

interface InspectResult {
	path: string;
	prompts: number;
	vectors: number;
	width: number;
	classes: readonly string[] | null;
	class: string | null;
	words: { prefix: string; suffix: string };
	baseModel: { id: string; hash: string } | null;
	settings: Readonly<Record<string, unknown>>;
	run: { status: string; step: number } | null;
	/** Null without a model. */
	compatibility: string | null;
	inspection: DistributionInspection | null;
}

/** The distribution file that a path stands for: itself, or that of a run folder. */
function distributionPath(path: string): string {
	return existsSync(path) && statSync(path).isDirectory() ? join(path, "distribution.safetensors") : path;
}

function compatibility(distribution: PromptDistribution, hash: string): string {
	const { baseModel } = distribution;
	if (!baseModel) return "the distribution does not say which model it was learned with; its width fits";
	return baseModel.hash === hash
		? "learned with this text encoder"
		: `learned with another text encoder of the same width (${baseModel.id}); it may mean nothing here`;
}

const short = (value: number) => Number(value.toPrecision(3));

function render(result: InspectResult): string {
	const { inspection } = result;
	const lines = [
		result.path,
		`${result.prompts} prompts of ${result.vectors} vectors, width ${result.width}`,
		...(result.classes ? [`classes: ${result.classes.join(", ")}; this is ${result.class}`] : []),
		...(result.words.prefix || result.words.suffix
			? [`worded: ${[result.words.prefix, "…", result.words.suffix].filter((part) => part !== "").join(" ")}`]
			: []),
		...(result.baseModel ? [`learned with ${result.baseModel.id}`] : []),
		...(result.run ? [`run: ${result.run.status}, last checkpoint at step ${result.run.step}`] : []),
	];
	if (!inspection) return [...lines, "Give a --model to see the nearest words, deviations and cosines."].join("\n");
	const words = (list: DistributionInspection["meanWords"]) =>
		list.map(({ word, distance }) => `${word} (${short(distance)})`).join("  ");
	const pairs = inspection.cosines.flatMap((row, i) => row.slice(i + 1).map(Math.abs));
	return [
		...lines,
		`compatibility: ${result.compatibility}`,
		`nearest words of the mean: ${words(inspection.meanWords)}`,
		...inspection.words.map((list, k) => `  prompt ${k + 1}: ${words(list)}`),
		`spread: ${short(inspection.spread)} on average`,
		`deviation by position: ${inspection.positionStd.map(short).join(" ")}`,
		...(pairs.length > 0
			? [
					`|cosine| between prompts: ${short(pairs.reduce((a, b) => a + b) / pairs.length)} on average, ${short(Math.max(...pairs))} at most`,
				]
			: []),
	].join("\n");
}

async function run(context: CommandContext<InspectArguments>): Promise<number> {
	const { args, options, output, signal, directory } = context;
	const { inspectDistribution, PromptDistribution, PromptEncoder, readRunRecord } = await import("@dreamdist/core");
	const given = userPath(String(args[0]), directory);
	const path = distributionPath(given);
	const loaded = await PromptDistribution.load(path);
	if (options.class !== undefined && !loaded.classes)
		throw new UsageError(`${path} has no classes, so --class ${options.class} does not apply`);
	const distribution = options.class === undefined ? loaded : loaded.ofClass(options.class);
	const record = path === given ? null : await readRunRecord(join(given, "run.json"));
	const result: InspectResult = {
		path,
		prompts: distribution.prompts,
		vectors: distribution.vectors,
		width: distribution.width,
		classes: distribution.classes,
		class: distribution.className,
		words: distribution.words,
		baseModel: distribution.baseModel,
		settings: distribution.settings,
		run: record && { status: record.status, step: record.step },
		compatibility: null,
		inspection: null,
	};
	if (options.model !== undefined) {
		const { loadPipeline } = await import("@dreamdist/models");
		const model = userPath(options.model, directory);
		const pipe = await loadPipeline(existsSync(model) ? model : options.model, {
			device: options.device,
			dtype: options.dtype,
			signal,
		});
		const encoder = new PromptEncoder(pipe.device, pipe.textEncoder);
		try {
			result.inspection = await inspectDistribution(encoder, distribution);
			result.compatibility = compatibility(distribution, pipe.identity.hash);
		} finally {
			encoder.dispose();
			pipe.dispose();
		}
	}
	output.result(result, render);
	return 0;
}

const inspect: CommandModule = {
	configure(command: Command) {
		command
			.argument("<distribution>", "distribution file, or run folder")
			.option("--model <model>", "look at it through this model's text encoder")
			.option("--class <name>", "one of its classes");
		addExample(command, "inspect runs/cathedrals --model models/stable-diffusion-2-1");
	},
	run,
};
export default inspect;
