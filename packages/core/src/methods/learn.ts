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
import { RunFolder } from "./run/run-folder.js";
import { LEARNING_RUN } from "./run/run-kind.js";
import type { RunRecord } from "./run/run-record.js";
import { templateWords, writeSampleGrid } from "./run/samples.js";

export interface LearnOptions extends LearnSettingsInput {
	/** Run folder; without it nothing is written. */
	readonly out?: string;
	/** Go on from the last checkpoint in `out`. Default false: a folder that is not empty is refused. */
	readonly resume?: boolean;
	/** Steps between checkpoints. Default 100. The last step always has one. */
	readonly checkpointEvery?: number;
	/** Checkpoints to keep; 0 (the default) keeps all. */
	readonly keep?: number;
	/** Steps between grids of pictures in `samples/`; 0 (the default): none. Each has a checkpoint. */
	readonly sampleEvery?: number;
	/** Texts with "{}" where the learned prompt stands; each is a row of the grids. */
	readonly validationPrompts?: readonly string[];
	/** Write event files for TensorBoard into `tensorboard/`. Default false. */
	readonly tensorboard?: boolean;
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
		let run: LearningFolder | null = null;
		let failure: unknown = null;
		try {
			run = await this.openRun(set, settings);
			if (run?.checkpoint) await learner.restore(run.checkpoint);
			this.announce(learner, set, run);
			await this.writeMissedSamples(learner, run);
			yield* this.steps(learner, run);
		} catch (error) {
			failure = error;
			throw error;
		} finally {
			// A disk that refuses the status must not hide why the run ended.
			if (!this.outcome)
				await run?.setStatus(failure && !signal?.aborted ? "failed" : "interrupted").catch(() => undefined);
			await run?.close();
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
			checkpointEvery = 100,
			keep = 0,
			sampleEvery = 0,
			validationPrompts = [],
			tensorboard: _tensorboard,
			directory,
			signal,
			...rest
		} = this.options;
		checkWhole("checkpointEvery", checkpointEvery, 1);
		checkWhole("keep", keep, 0);
		checkWhole("sampleEvery", sampleEvery, 0);
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
		const { out, resume = false, keep = 0, tensorboard = false, directory = process.cwd() } = this.options;
		if (out === undefined) {
			if (resume) throw new ArgumentError("a run without a folder (out) can't be resumed");
			return null;
		}
		const { kind, isa, threads } = this.model.device;
		const now = new Date().toISOString();
		const record: RunRecord = {
			format: "dreamdist.run",
			version: 1,
			settings,
			model: this.model.identity,
			pictures: set.pictures.map(({ path, hash, className }) => ({ path, hash, className })),
			device: { kind, isa, threads },
			node: process.version,
			created: now,
			updated: now,
			status: "running",
			step: 0,
		};
		return RunFolder.open(resolve(directory, out), LEARNING_RUN, record, { resume, keep, tensorboard });
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

	private async *steps(learner: Learner, run: LearningFolder | null): AsyncGenerator<LearnStep, void, undefined> {
		const { checkpointEvery = 100, sampleEvery = 0, signal } = this.options;
		const { steps } = learner.settings;
		let last: LearnStep | null = null;
		let saved = run?.checkpoint?.step ?? 0;
		if (learner.step === 0) await this.observe(learner);
		const save = async () => {
			if (!run || saved === learner.step) return;
			saved = learner.step;
			const distribution = await learner.distribution();
			await run.save(await learner.snapshot(), () => distribution.save(run.paths.distribution));
		};
		let failure: unknown = null;
		try {
			while (learner.step < steps) {
				signal?.throwIfAborted();
				last = await learner.next(signal);
				const { pictures: _, ...line } = last;
				await run?.appendStep(line);
				const samples = sampleEvery > 0 && last.step % sampleEvery === 0;
				if (samples || last.step % checkpointEvery === 0 || last.step === steps) await save();
				if (samples && run) await this.writeSamples(learner, run);
				await this.observe(learner);
				yield last;
			}
		} catch (error) {
			failure = error;
			throw error;
		} finally {
			// Stopped by the signal or by the caller, the state is that of the last whole step.
			if (failure === null || signal?.aborted) await save();
		}
		const distribution = await learner.distribution();
		if (run) {
			await distribution.save(run.paths.distribution);
			await this.writePage(distribution, run);
			await run.setStatus("finished");
		}
		this.outcome = { distribution, steps: learner.step, last };
	}

	private async observe(learner: Learner): Promise<void> {
		const { observe } = this.options;
		if (observe?.steps.includes(learner.step)) await observe.take(learner.step, await learner.distribution());
	}

	/** A process that was killed between a checkpoint and its samples left them out. */
	private async writeMissedSamples(learner: Learner, run: LearningFolder | null): Promise<void> {
		const { sampleEvery = 0 } = this.options;
		if (!run || sampleEvery === 0 || learner.step === 0 || learner.step % sampleEvery !== 0) return;
		if (!(await run.hasSample(learner.step))) await this.writeSamples(learner, run);
	}

	private async writeSamples(learner: Learner, run: LearningFolder): Promise<void> {
		const { validationPrompts = [], signal } = this.options;
		const distribution = await learner.distribution();
		await writeSampleGrid(await run.samplePath(learner.step), this.model, distribution, {
			size: learner.settings.size,
			prompts: validationPrompts,
			...(signal && { signal }),
		});
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

function checkWhole(name: string, value: number, least: number): void {
	if (!Number.isInteger(value) || value < least)
		throw new ArgumentError(`${name} must be a whole number from ${least} on, not ${value}`);
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
