// `dreamdist train`: learns a distribution of prompts from pictures.
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { LearnOptions, LearnSettingsInput, RunRecord } from "@dreamdist/core";
import type { Command } from "commander";
import { addExample } from "../common-options.js";
import type { CommandContext, CommandModule } from "../context.js";
import { UsageError } from "../errors.js";
import { userPath } from "../paths.js";
import { readConfigFile, type TrainConfig } from "../train/config-file.js";
import { addTrainOptions, givenSettings, type TrainArguments } from "../train/options.js";
import { formatDuration, planLines, StepLine } from "../train/report.js";

const NEEDS =
	"train needs pictures, a model and a run folder: dreamdist train IMAGES… --model MODEL --out RUN (or --resume RUN)";

/** What to learn from, with what, into which folder. */
interface Job {
	readonly images: readonly string[];
	/** A path, or the name of a model. */
	readonly model: string;
	readonly out: string;
	readonly resume: boolean;
	readonly settings: LearnSettingsInput;
	readonly reporting: Pick<
		LearnOptions,
		"checkpointEvery" | "keep" | "sampleEvery" | "validationPrompts" | "tensorboard"
	>;
}

function modelName(model: string, directory: string): string {
	const path = userPath(model, directory);
	return existsSync(path) ? path : model;
}

/** A run that goes on takes from its record whatever is not given anew. */
async function readJob(context: CommandContext<TrainArguments>): Promise<Job> {
	const { args, options, directory } = context;
	const { LEARN_PRESETS, readRunRecord } = await import("@dreamdist/core");
	const given = (args[0] ?? []) as string[];
	const config: TrainConfig =
		options.config === undefined
			? { run: {}, settings: {} }
			: await readConfigFile(userPath(options.config, directory));
	const resume = options.resume !== undefined;
	const folder = typeof options.resume === "string" ? options.resume : (options.out ?? config.run.out);
	if (folder === undefined) throw new UsageError(resume ? "--resume needs a run folder: --resume RUN" : NEEDS);
	const out = userPath(folder, directory);
	const record: RunRecord | null = resume ? await readRunRecord(join(out, "run.json")) : null;
	const named = given.length > 0 ? given : config.run.images;
	const images = named?.map((image) => userPath(image, directory)) ?? record?.pictures.map(({ path }) => path);
	const modelGiven = options.model ?? config.run.model;
	const model = modelGiven === undefined ? record?.model.id : modelName(modelGiven, directory);
	if (!images || !model) {
		if (!resume || record) throw new UsageError(NEEDS);
		throw new UsageError(
			`${out} holds no run (there is no run.json), so none can be resumed; to begin one, give pictures and a model`,
		);
	}
	const presetName = options.preset ?? config.run.preset;
	const preset = presetName === undefined ? {} : LEARN_PRESETS[presetName];
	const settings = { ...record?.settings, ...preset, ...config.settings, ...givenSettings(options) };
	const { checkpointEvery, keep, sampleEvery, validationPrompts, tensorboard } = { ...config.run, ...options };
	const reporting = {
		...(checkpointEvery !== undefined && { checkpointEvery }),
		...(keep !== undefined && { keep }),
		...(sampleEvery !== undefined && { sampleEvery }),
		...(validationPrompts !== undefined && { validationPrompts }),
		...(tensorboard !== undefined && { tensorboard }),
	};
	return { images, model, out, resume, settings, reporting };
}

async function run(context: CommandContext<TrainArguments>): Promise<number> {
	const { options, output, signal } = context;
	const job = await readJob(context);
	const [{ learn, readLearnSettings }, { loadPipeline }] = await Promise.all([
		import("@dreamdist/core"),
		import("@dreamdist/models"),
	]);
	// Before minutes of loading, not after.
	readLearnSettings(job.settings, options.config ?? "train");
	const pipe = await loadPipeline(job.model, {
		device: options.device,
		dtype: options.dtype,
		signal,
		onProgress: (event) => {
			if (event.kind === "note") output.notice(event.message);
		},
	});
	const line = new StepLine(!options.quiet && !options.json);
	const started = performance.now();
	try {
		let steps = 0;
		let startStep = 0;
		const learnOptions: LearnOptions = {
			...job.settings,
			out: job.out,
			resume: job.resume,
			signal,
			...job.reporting,
			onPlan: (plan) => {
				steps = plan.settings.steps;
				startStep = plan.startStep;
				for (const text of planLines(plan, job.model, pipe.device)) output.notice(text);
				if (startStep >= steps) output.notice(`The run is finished: all ${steps} steps were taken.`);
			},
		};
		const learning = learn(pipe, job.images, learnOptions);
		for await (const step of learning) line.update(step, steps);
		line.close();
		const { steps: taken, last } = await learning.result();
		const result = {
			run: job.out,
			distribution: join(job.out, "distribution.safetensors"),
			page: join(job.out, "index.html"),
			steps: taken,
			stepsNow: taken - startStep,
			loss: last?.loss ?? null,
			seconds: (performance.now() - started) / 1000,
		};
		output.result(result, ({ page, distribution, stepsNow, seconds }) =>
			[`${stepsNow} steps in ${formatDuration(seconds)}`, distribution, page].join("\n"),
		);
		return 0;
	} finally {
		pipe.dispose();
	}
}

const train: CommandModule = {
	configure(command: Command) {
		addTrainOptions(command);
		addExample(
			command,
			"train photos/cathedrals --model models/stable-diffusion-2-1 --out runs/cathedrals",
			"Ctrl-C writes a checkpoint; `train --resume runs/cathedrals` goes on from it. Values in parentheses are the defaults.\n" +
				"In a --config file keys are the options' names, and images, model, out: see docs/configuration.md.",
		);
	},
	run,
};
export default train;
