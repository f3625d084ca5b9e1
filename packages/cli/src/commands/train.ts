// `dreamdist train`: learns a distribution of prompts from pictures.
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { LearnSettingsInput, ReportingOptions } from "@dreamdist/core";
import type { Pipeline } from "@dreamdist/models";
import type { Command } from "commander";
import { addExample } from "../common-options.js";
import type { CommandContext, CommandModule } from "../context.js";
import { UsageError } from "../errors.js";
import { DEFAULT_MODEL } from "../model-path.js";
import { userPath } from "../paths.js";
import { readConfigFile, type TrainConfig } from "../train/config-file.js";
import { runFinetuning, writeCaption } from "../train/finetune.js";
import { addTrainOptions, givenSettings, type TrainArguments } from "../train/options.js";
import { planLines } from "../train/plan.js";
import { TrainingProgress } from "../train/progress.js";
import { checkSetName, DEFAULT_SET, setWords, writeReferencePictures } from "../world/reference-pictures.js";

const NEEDS_FOLDER = "train needs a run folder for these pictures: --out RUN";

/** What to learn from, with what, into which folder. */
export interface Job {
	readonly method: string;

	readonly images: readonly string[];
	/** The reference set whose pictures are to be drawn; null where pictures are named. */
	readonly set: string | null;
	/** A path, or the name of a model. */
	readonly model: string;
	readonly out: string;
	readonly resume: boolean;
	/** Of the method, not checked yet. */
	readonly settings: Readonly<Record<string, unknown>>;
	/** Folder of the prior's pictures, where one was named. */
	readonly prior: string | undefined;
	readonly reporting: ReportingOptions;
}

function modelName(model: string, directory: string): string {
	if (model === DEFAULT_MODEL) return model;
	const path = userPath(model, directory);
	return existsSync(path) ? path : model;
}

/** A run that goes on takes from its record whatever is not given anew. */
async function readJob(context: CommandContext<TrainArguments>): Promise<Job> {
	const { args, options, directory } = context;
	const { givenReporting, LEARN_PRESETS, LEARNING_METHOD, methodOf, readAnyRunRecord } = await import(
		"@dreamdist/core"
	);
	const namedHere = (args[0] ?? []) as string[];
	const config: TrainConfig =
		options.config === undefined
			? { run: {}, settings: {} }
			: await readConfigFile(userPath(options.config, directory));
	const resume = options.resume !== undefined;
	const named = namedHere.length > 0 ? namedHere : config.run.images;
	if (options.set !== undefined && named)
		throw new UsageError(`--set ${options.set} and pictures of your own do not go together; leave one out`);
	const methodGiven = options.method ?? config.run.method;
	const isCaption = methodGiven === "short-caption" || methodGiven === "long-caption";
	const set = options.set ?? (named || resume || isCaption ? null : DEFAULT_SET);
	if (set !== null) await checkSetName(set);
	const suffix = methodGiven === undefined || methodGiven === LEARNING_METHOD ? "" : `-${methodGiven}`;
	const folder =
		typeof options.resume === "string"
			? options.resume
			: (options.out ?? config.run.out ?? (set === null ? undefined : join("runs", `${set}${suffix}`)));
	if (folder === undefined)
		throw new UsageError(
			resume
				? "--resume needs a run folder: --resume RUN"
				: isCaption
					? "train needs a run folder for the caption: --out RUN"
					: NEEDS_FOLDER,
		);
	const out = userPath(folder, directory);
	const record = resume ? await readAnyRunRecord(join(out, "run.json")) : null;
	const method = methodGiven ?? (record ? methodOf(record) : LEARNING_METHOD);
	if (record && method !== methodOf(record))
		throw new UsageError(`${out} holds a run of ${methodOf(record)}, which --method ${method} can't go on with`);
	const isLearning = method === LEARNING_METHOD;
	// Elsewhere a class is the prior's.
	const learnedFrom = record?.pictures.filter(({ className }) => isLearning || className === null);
	const priorPicture = isLearning ? undefined : record?.pictures.find(({ className }) => className !== null);
	const images =
		named?.map((image) => userPath(image, directory)) ??
		(isCaption ? [] : set === null ? learnedFrom?.map(({ path }) => path) : [join(dirname(out), "references", set)]);
	const modelGiven = options.model ?? config.run.model;
	const model = modelName(modelGiven ?? record?.model.id ?? DEFAULT_MODEL, directory);
	if (!images)
		throw new UsageError(
			`${out} holds no run (there is no run.json), so none can be resumed; to begin one, leave out --resume`,
		);
	// A run that goes on has its settings.
	const presetGiven = options.preset ?? config.run.preset;
	if (presetGiven !== undefined && !isLearning)
		throw new UsageError(`--preset ${presetGiven} is of dream-distribution; ${method} has its own defaults`);
	const presetName = presetGiven ?? (isLearning && model === DEFAULT_MODEL && !record ? "mini" : undefined);
	const preset = presetName === undefined ? {} : LEARN_PRESETS[presetName];
	const words = set !== null && isLearning ? { initialWords: await setWords(set) } : {};
	const settings = { ...record?.settings, ...preset, ...words, ...config.settings, ...givenSettings(options) };
	const reporting = givenReporting({ ...config.run, ...options });
	const given = options.prior ?? config.run.prior;
	const prior = given === undefined ? priorPicture && dirname(priorPicture.path) : userPath(given, directory);
	return { method, images, set, model, out, resume, settings, prior, reporting };
}

async function run(context: CommandContext<TrainArguments>): Promise<number> {
	const { options, output, signal } = context;
	const job = await readJob(context);
	await checkSettings(job, options.config ?? "train");
	const { loadPipeline } = await import("@dreamdist/models");
	const pipe = await loadPipeline(job.model, {
		device: options.device,
		dtype: options.dtype,
		tf32: options.tf32,
		signal,
		onProgress: (event) => {
			if (event.kind === "note") output.notice(event.message);
		},
	});
	try {
		if (job.set !== null) await writeReferencePictures(job.set, job.images[0]!);
		if (job.method === "dream-distribution") await learnDistribution(job, pipe, context);
		else if (job.method === "short-caption" || job.method === "long-caption") await writeCaption(job, pipe, context);
		else await runFinetuning(job, pipe, context);
		return 0;
	} finally {
		pipe.dispose();
	}
}

/** Before minutes of loading, not after. */
async function checkSettings({ method, settings }: Job, source: string): Promise<void> {
	const [{ readLearnSettings }, { METHOD_SETTINGS, readMethodSettings }] = await Promise.all([
		import("@dreamdist/core"),
		import("@dreamdist/models"),
	]);
	if (Object.hasOwn(METHOD_SETTINGS, method))
		readMethodSettings(method as keyof typeof METHOD_SETTINGS, settings, source);
	else readLearnSettings(settings, source);
}

async function learnDistribution(job: Job, pipe: Pipeline, context: CommandContext<TrainArguments>): Promise<void> {
	const { options, output, signal } = context;
	const { learn } = await import("@dreamdist/core");
	const progress = new TrainingProgress(options, output, pipe.device);
	const run = learn(pipe, job.images, {
		...(job.settings as LearnSettingsInput),
		...job.reporting,
		out: job.out,
		resume: job.resume,
		signal,
		onPlan: (plan) => progress.plan(plan, job.model, planLines(plan)),
	});
	await progress.follow(run);
	const { steps, last } = await run.result();
	const distribution = join(job.out, "distribution.safetensors");
	progress.result({ run: job.out, distribution }, [distribution], { steps, last });
}

const train: CommandModule = {
	computes: true,
	configure(command: Command) {
		addTrainOptions(command);
		addExample(
			command,
			"train photos/cathedrals --model models/stable-diffusion-2-1 --out runs/cathedrals",
			"Without anything it learns from drawn pictures with the embedded model, into runs/night-harbour; --set NAME takes others. Ctrl-C writes a checkpoint; `train --resume runs/cathedrals` goes on from it. Values in parentheses are the defaults.\n" +
				"--method trains what the paper is compared with: textual-inversion, dreambooth, dreambooth-lora, custom-diffusion (see docs/methods.md). short-caption and long-caption learn nothing: --caption is what generate paints.\n" +
				"In a --config file keys are the options' names, and images, model, out: see docs/configuration.md.",
		);
	},
	run,
};
export default train;
