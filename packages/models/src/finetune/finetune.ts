// `finetune`: a model made to paint what pictures show, by one of the methods that this project is compared with.
import { basename, join, resolve } from "node:path";
import {
	ArgumentError,
	defaultSize,
	findPictures,
	givenReporting,
	inFolder,
	newRunRecord,
	type PictureReport,
	PictureSet,
	type ReportingOptions,
	RunFolder,
	type RunWork,
	renderMethodPage,
	takeSteps,
	writeFileAtomic,
	writeSampleGrid,
} from "@dreamdist/core";
import type { Pipeline } from "../pipeline/pipeline.js";
import { Finetuner, type FinetuneState, type FinetuneStep, type PriorSet, type SizedSettings } from "./finetuner.js";
import type { TuningMethod } from "./method.js";
import { makeMethod } from "./methods.js";
import { liveModel } from "./model-change.js";
import { priorPictures } from "./prior-pictures.js";
import { checkState, runKind } from "./run-kinds.js";
import {
	type FinetuneMethod,
	type FinetuneSettings,
	type FinetuneSettingsByMethod,
	METHOD_LABELS,
	readMethodSettings,
} from "./settings.js";

export interface FinetuneOptions extends ReportingOptions {
	/** Run folder; it holds the result's files too. */
	readonly out: string;
	/** Go on from the last checkpoint in `out`. Default false: a folder that is not empty is refused. */
	readonly resume?: boolean | undefined;
	/** Folder of the prior's pictures; what is missing in it is painted. Default: `prior` in the run folder. */
	readonly priorFolder?: string | undefined;
	/** What relative paths are relative to. Default the working directory. */
	readonly directory?: string | undefined;
	/** Stops after the step in progress, with a checkpoint; iteration then throws the signal's reason. */
	readonly signal?: AbortSignal | undefined;
	/** Called once when everything is ready for the first step. */
	readonly onPlan?: ((plan: FinetunePlan) => void) | undefined;
	/** Told how many of the prior's pictures are there. */
	readonly onPrior?: ((done: number, count: number) => void) | undefined;
}

/** What is about to happen. */
export interface FinetunePlan {
	readonly method: FinetuneMethod;
	readonly settings: SizedSettings;
	readonly pictures: number;
	readonly priorPictures: number;
	readonly report: PictureReport;
	/** Numbers that are trained. */
	readonly parameters: number;
	readonly startStep: number;
	readonly plannedBytes: number;
	readonly notices: readonly string[];
}

export interface FinetuneResult {
	/** Steps taken in all. */
	readonly steps: number;
	/** The last step of this call; null if there was none left to take. */
	readonly last: FinetuneStep | null;
	/** Names of the result's files in the run folder. */
	readonly files: readonly string[];
	/** Shows what was learned. */
	readonly prompt: string;
}

/** A run of fine-tuning: iterate over its steps, or ask for the result at once. Either starts it; it can be run once. */
export class Finetuning<M extends FinetuneMethod = FinetuneMethod> implements AsyncIterable<FinetuneStep> {
	private started = false;
	private outcome: FinetuneResult | null = null;

	/** Made by `finetune`. */
	constructor(
		private readonly pipe: Pipeline,
		private readonly method: M,
		private readonly images: readonly string[],
		private readonly input: unknown,
		private readonly options: FinetuneOptions,
	) {}

	async *[Symbol.asyncIterator](): AsyncGenerator<FinetuneStep, void, undefined> {
		if (this.started) throw new ArgumentError("this run was started already; call finetune again for another");
		this.started = true;
		const { signal, directory = process.cwd() } = this.options;
		givenReporting(this.options);
		const parsed = readMethodSettings(this.method, this.input);
		const settings = { ...parsed, size: parsed.size ?? defaultSize(this.pipe) } as SizedSettings<
			FinetuneSettingsByMethod[M]
		>;
		const tuning = makeMethod(this.method, this.pipe, settings);
		const { size, crop, flip, filter } = settings as SizedSettings;
		const cut = { size, crop, flip, filter };
		const files = await findPictures(this.images, { directory });
		const set = await PictureSet.read(files, { ...cut, zoom: tuning.zoom ?? false }, signal);
		const prior = await this.readPrior(tuning, settings, cut);
		const finetuner = await Finetuner.create(this.pipe, tuning, settings as SizedSettings, set, prior, signal);
		try {
			const go = (folder: Folder<M>) => this.steps(finetuner, tuning, { set, prior }, folder);
			yield* inFolder(() => this.openRun(set, prior, settings), go, signal);
		} finally {
			finetuner.dispose();
		}
	}

	/** The result; takes whatever steps are left. */
	async result(): Promise<FinetuneResult> {
		if (!this.started) for await (const _ of this);
		if (!this.outcome) throw new ArgumentError("this run has not finished; iterate over all of its steps first");
		return this.outcome;
	}

	private get folder(): string {
		const { out, directory = process.cwd() } = this.options;
		return resolve(directory, out);
	}

	private async readPrior(
		{ classPrompt }: TuningMethod,
		settings: FinetuneSettings,
		cut: Parameters<typeof PictureSet.read>[1],
	): Promise<PriorSet | null> {
		if (classPrompt === null || !("priorPictures" in settings)) return null;
		const { priorFolder, directory = process.cwd(), signal, onPrior } = this.options;
		const own = priorFolder === undefined;
		// Painting takes long; what can be refused at once is.
		if (own) await RunFolder.checkVacant(this.folder, { resume: this.options.resume ?? false, except: ["prior"] });
		const folder = own ? join(this.folder, "prior") : resolve(directory, priorFolder);
		const files = await priorPictures(this.pipe, folder, {
			prompt: classPrompt,
			count: settings.priorPictures,
			seed: settings.seed,
			size: cut.size,
			signal,
			onPicture: onPrior,
		});
		const found = files.map((path) => ({ path, className: classPrompt }));
		return { set: await PictureSet.read(found, cut, signal), prompt: classPrompt, weight: settings.priorWeight };
	}

	private openRun(
		set: PictureSet,
		prior: PriorSet | null,
		settings: SizedSettings<FinetuneSettingsByMethod[M]>,
	): Promise<Folder<M>> {
		const pictures = [...set.pictures, ...(prior?.set.pictures ?? [])];
		const record = newRunRecord(this.method, settings, this.pipe, pictures);
		const { resume = false } = this.options;
		const options = { resume, reporting: this.options, except: ["prior"] };
		return RunFolder.open(this.folder, runKind(this.method), record, options);
	}

	private async restore(finetuner: Finetuner, state: FinetuneState, run: Folder<M>): Promise<void> {
		try {
			checkState(state, finetuner.snapshot(), run.paths.checkpoints);
			await finetuner.restore(state);
		} finally {
			await state.close();
		}
	}

	private announce(finetuner: Finetuner, set: PictureSet, prior: PriorSet | null, run: Folder<M>): void {
		this.options.onPlan?.({
			method: this.method,
			settings: finetuner.settings,
			pictures: set.pictures.length,
			priorPictures: prior?.set.pictures.length ?? 0,
			report: set.report,
			parameters: finetuner.parameters,
			startStep: finetuner.step,
			plannedBytes: finetuner.plannedBytes,
			notices: run.notices,
		});
	}

	private async *steps(
		finetuner: Finetuner,
		tuning: TuningMethod,
		{ set, prior }: { set: PictureSet; prior: PriorSet | null },
		run: Folder<M>,
	): AsyncGenerator<FinetuneStep, void, undefined> {
		if (run.checkpoint) await this.restore(finetuner, run.checkpoint, run);
		this.announce(finetuner, set, prior, run);
		let last: FinetuneStep | null = null;
		const work: RunWork<FinetuneStep> = {
			steps: finetuner.settings.steps,
			get step() {
				return finetuner.step;
			},
			async next(signal) {
				last = await finetuner.next(signal);
				return last;
			},
			save: () => run.save(finetuner.snapshot(), async () => undefined),
			sample: () => this.writeSamples(finetuner, tuning, run),
			finish: async () => {
				const files = await tuning.save(run.folder, finetuner.read);
				await this.writePage(tuning, finetuner.settings, run);
				this.outcome = { steps: finetuner.step, last, files, prompt: tuning.prompt };
			},
		};
		yield* takeSteps(work, run, this.options.signal);
	}

	private async writeSamples(finetuner: Finetuner, tuning: TuningMethod, run: Folder<M>): Promise<void> {
		const { validationPrompts } = run.reporting;
		const prompts = [tuning.prompt, ...validationPrompts.map((text) => text.replaceAll("{}", tuning.prompt))];
		await writeSampleGrid(
			await run.samplePath(finetuner.step),
			liveModel(this.pipe, finetuner.change),
			prompts.map((prompt) => ({ label: prompt, source: prompt })),
			{
				size: finetuner.settings.size,
				recipe: { method: this.method, prompts },
				signal: this.options.signal,
			},
		);
		await this.writePage(tuning, finetuner.settings, run);
	}

	private async writePage(tuning: TuningMethod, settings: SizedSettings, run: Folder<M>): Promise<void> {
		const metrics = await run.metrics();
		const page = renderMethodPage({
			title: basename(run.folder),
			summary: `${METHOD_LABELS[this.method]} of ${this.pipe.identity.id}, shown by the prompt “${tuning.prompt}”; ${metrics.length} steps.`,
			metrics,
			samples: await run.sampleNames(),
			settings: settings as unknown as Record<string, unknown>,
		});
		await writeFileAtomic(run.paths.page, page);
	}
}

type Folder<M extends FinetuneMethod> = RunFolder<
	SizedSettings<FinetuneSettingsByMethod[M]>,
	FinetuneState,
	FinetuneStep
>;

/**
 * Fine-tunes a model on pictures, with the settings of the method's public implementation unless told otherwise.
 *
 * ```ts
 * const run = finetune(pipe, "textual-inversion", "photos/my-cat", { initialWords: "cat" }, { out: "runs/my-cat" });
 * for await (const { step, loss } of run) console.log(step, loss);
 * ```
 *
 * @param images folders, files and patterns
 * @param settings of the method; see `METHOD_SETTINGS`
 * @throws when iterated: ArgumentError for settings or pictures; FileError; DivergenceError when the loss is not finite
 */
export function finetune<M extends FinetuneMethod>(
	pipe: Pipeline,
	method: M,
	images: string | readonly string[],
	settings: Partial<FinetuneSettingsByMethod[M]>,
	options: FinetuneOptions,
): Finetuning<M> {
	return new Finetuning(pipe, method, typeof images === "string" ? [images] : images, settings, options);
}
