// `learn`: a distribution of prompts from pictures.
import { basename, resolve } from "node:path";
import { ArgumentError } from "../errors.js";
import { defaultSize } from "./generate.js";
import { type LearnSettings, type LearnSettingsInput, readLearnSettings } from "./learn-settings.js";
import { Learner, type LearnerState, type LearnStep } from "./learner.js";
import { checkSize } from "./picture-sampler.js";
import { findPictures } from "./pictures/find-pictures.js";
import { type PictureReport, PictureSet } from "./pictures/picture-set.js";
import type { FrozenModel } from "./pipeline.js";
import type { PromptDistribution } from "./prompts/distribution.js";
import { inspectDistribution } from "./prompts/inspect.js";
import { PromptEncoder } from "./prompts/prompt-encoder.js";
import { writeRunPage } from "./run/page.js";
import { givenReporting, type ReportingOptions } from "./run/reporting.js";
import { RunFolder } from "./run/run-folder.js";
import { LEARNING_METHOD, LEARNING_RUN } from "./run/run-kind.js";
import { inFolder, type RunWork, takeSteps } from "./run/run-life.js";
import { newRunRecord } from "./run/run-record.js";
import { templateWords, writeSampleGrid } from "./run/samples.js";

export interface LearnOptions extends LearnSettingsInput, ReportingOptions {
	/** Run folder; without it nothing is written. */
	readonly out?: string;
	/** Go on from the last checkpoint in `out`. Default false: a folder that is not empty is refused. */
	readonly resume?: boolean;
	/** What relative paths are relative to. Default the working directory. */
	readonly directory?: string;
	/** Stops after the step in progress, with a checkpoint; iteration then throws the signal's reason. */
	readonly signal?: AbortSignal;
	/** Told what has been learned after these steps; 0 is before the first. Steps that a resumed run had taken already are left out. */
	readonly observe?: {
		readonly steps: readonly number[];
		readonly take: (step: number, distribution: PromptDistribution) => Promise<void> | void;
	};
	/** Called once when everything is ready for the first step. */
	readonly onPlan?: (plan: LearnPlan) => void;
}

/** What is about to happen. */
export interface LearnPlan {
	readonly settings: LearnSettings;
	/** Pictures that will be used. */
	readonly pictures: number;
	readonly report: PictureReport;
	readonly classes: readonly string[] | null;
	/** Steps that were already taken. */
	readonly startStep: number;
	/** Bytes that a step needs in all. */
	readonly plannedBytes: number;
	readonly notices: readonly string[];
}

export interface LearnResult {
	readonly distribution: PromptDistribution;
	/** Steps taken in all. */
	readonly steps: number;
	/** The last step of this call; null if there was none left to take. */
	readonly last: LearnStep | null;
}

type LearningFolder = RunFolder<LearnSettings, LearnerState>;

/** A run of learning: iterate over its steps, or ask for the result at once. Either starts it; it can be run once. */
export class Learning implements AsyncIterable<LearnStep> {
	private started = false;
	private outcome: LearnResult | null = null;

	/** Made by `learn`. */
	constructor(
		private readonly model: FrozenModel,
		private readonly images: readonly string[],
		private readonly options: LearnOptions,
	) {}

	async *[Symbol.asyncIterator](): AsyncGenerator<LearnStep, void, undefined> {
		if (this.started) throw new ArgumentError("this run of learning was started already; call learn again for another");
		this.started = true;
		const { signal, settings, set } = await this.prepare();
		const learner = await Learner.create(this.model, set, settings, signal);
		try {
			const go = (folder: LearningFolder | null) => this.steps(learner, set, folder);
			yield* inFolder(() => this.openRun(set, settings), go, signal);
		} finally {
			learner.dispose();
		}
	}

	/** The result; takes whatever steps are left. */
	async result(): Promise<LearnResult> {
		if (!this.started) for await (const _ of this);
		if (!this.outcome)
			throw new ArgumentError("this run of learning has not finished; iterate over all of its steps first");
		return this.outcome;
	}

	private async prepare() {
		const {
			out: _out,
			resume: _resume,
			onPlan: _onPlan,
			observe: _observe,
			checkpointEvery: _checkpointEvery,
			keep: _keep,
			sampleEvery: _sampleEvery,
			validationPrompts = [],
			tensorboard: _tensorboard,
			directory,
			signal,
			...rest
		} = this.options;
		givenReporting(this.options);
		for (const template of validationPrompts) templateWords(template);
		const parsed = readLearnSettings(rest);
		const settings: LearnSettings = { ...parsed, size: parsed.size ?? defaultSize(this.model) };
		checkSize(this.model, settings.size);
		const { classes, size, crop, flip, filter } = settings;
		const files = await findPictures(this.images, { classes, ...(directory !== undefined && { directory }) });
		const set = await PictureSet.read(files, { size, crop, flip, filter }, signal);
		return { signal, settings, set };
	}

	private async openRun(set: PictureSet, settings: LearnSettings): Promise<LearningFolder | null> {
		const { out, resume = false, directory = process.cwd() } = this.options;
		if (out === undefined) {
			if (resume) throw new ArgumentError("a run without a folder (out) can't be resumed");
			return null;
		}
		const record = newRunRecord(LEARNING_METHOD, settings, this.model, set.pictures);
		return RunFolder.open(resolve(directory, out), LEARNING_RUN, record, { resume, reporting: this.options });
	}

	private announce(learner: Learner, set: PictureSet, run: LearningFolder | null): void {
		this.options.onPlan?.({
			settings: learner.settings,
			pictures: set.pictures.length,
			report: set.report,
			classes: learner.classes,
			startStep: learner.step,
			plannedBytes: learner.plannedBytes,
			notices: run?.notices ?? [],
		});
	}

	private async *steps(
		learner: Learner,
		set: PictureSet,
		run: LearningFolder | null,
	): AsyncGenerator<LearnStep, void, undefined> {
		if (run?.checkpoint) await learner.restore(run.checkpoint);
		this.announce(learner, set, run);
		let last: LearnStep | null = null;
		const work: RunWork<LearnStep> = {
			steps: learner.settings.steps,
			get step() {
				return learner.step;
			},
			async next(signal) {
				last = await learner.next(signal);
				return last;
			},
			lineOf: ({ pictures: _, ...line }) => line,
			observe: () => this.observe(learner),
			save: async () => {
				const distribution = await learner.distribution();
				await run?.save(await learner.snapshot(), () => distribution.save(run.paths.distribution));
			},
			sample: async () => {
				if (run) await this.writeSamples(learner, run);
			},
			finish: async () => {
				const distribution = await learner.distribution();
				if (run) {
					await distribution.save(run.paths.distribution);
					await this.writePage(distribution, run);
				}
				this.outcome = { distribution, steps: learner.step, last };
			},
		};
		yield* takeSteps(work, run, this.options.signal);
	}

	private async observe(learner: Learner): Promise<void> {
		const { observe } = this.options;
		if (observe?.steps.includes(learner.step)) await observe.take(learner.step, await learner.distribution());
	}

	private async writeSamples(learner: Learner, run: LearningFolder): Promise<void> {
		const { validationPrompts } = run.reporting;
		const distribution = await learner.distribution();
		const edits = validationPrompts.map((label) => ({ label, source: distribution.edit(templateWords(label)) }));
		await writeSampleGrid(
			await run.samplePath(learner.step),
			this.model,
			[{ label: "learned", source: distribution }, ...edits],
			{
				size: learner.settings.size,
				recipe: { distribution: distribution.settings, prompts: validationPrompts },
				signal: this.options.signal,
			},
		);
		await this.writePage(distribution, run);
	}

	private async writePage(distribution: PromptDistribution, run: LearningFolder): Promise<void> {
		const encoder = new PromptEncoder(this.model.device, this.model.textEncoder);
		try {
			await writeRunPage(run.paths.page, {
				title: basename(run.folder),
				distribution,
				inspection: await inspectDistribution(encoder, distribution),
				metrics: await run.metrics(),
				samples: await run.sampleNames(),
			});
		} finally {
			encoder.dispose();
		}
	}
}

/**
 * Learns a distribution of prompts (Zhao et al. 2023) from pictures, with the paper's settings unless told otherwise.
 *
 * ```ts
 * const pipe = await loadPipeline("stabilityai/stable-diffusion-2-1");
 * const run = learn(pipe, "photos/cathedrals", { steps: 1500, out: "runs/cathedrals" });
 * for await (const { step, loss } of run) console.log(step, loss);
 * const { distribution } = await run.result();
 * ```
 *
 * @param images folders, files and patterns
 * @throws when iterated: ArgumentError for settings or pictures; FileError; DivergenceError when the loss is not finite
 */
export function learn(model: FrozenModel, images: string | readonly string[], options: LearnOptions = {}): Learning {
	return new Learning(model, typeof images === "string" ? [images] : images, options);
}
