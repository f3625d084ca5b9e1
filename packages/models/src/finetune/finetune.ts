// `finetune`: a model made to paint what pictures show, by one of the methods that this project is compared with.
import { basename, join, resolve } from "node:path";
import {
	ArgumentError,
	contactSheet,
	defaultSize,
	findPictures,
	generate,
	type ImageU8,
	type PictureReport,
	PictureSet,
	RunFolder,
	type RunRecord,
	renderMethodPage,
	writeFileAtomic,
	writePng,
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

export interface FinetuneOptions {
	/** Run folder; it holds the result's files too. */
	readonly out: string;
	/** Go on from the last checkpoint in `out`. Default false: a folder that is not empty is refused. */
	readonly resume?: boolean | undefined;
	/** Steps between checkpoints. Default 100. The last step always has one. */
	readonly checkpointEvery?: number | undefined;
	/** Checkpoints to keep; 0 keeps all. Default 1: those of whole networks are large. */
	readonly keep?: number | undefined;
	/** Steps between grids of pictures in `samples/`; 0 (the default): none. */
	readonly sampleEvery?: number | undefined;
	/** Prompts of the grids' rows; "{}" stands for what the method shows itself with. */
	readonly validationPrompts?: readonly string[] | undefined;
	/** Write event files for TensorBoard. Default false. */
	readonly tensorboard?: boolean | undefined;
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

/** Pictures in each row of a grid, and the steps that they are sampled with. */
const COLUMNS = 4;
const SAMPLE_STEPS = 20;

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
		this.checkOptions();
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
		let run: Folder<M> | null = null;
		let failure: unknown = null;
		try {
			run = await this.openRun(set, prior, settings);
			if (run.checkpoint) await this.restore(finetuner, run.checkpoint, run);
			this.announce(finetuner, set, prior, run);
			yield* this.steps(finetuner, tuning, run);
		} catch (error) {
			failure = error;
			throw error;
		} finally {
			// A disk that refuses the status must not hide why the run ended.
			if (!this.outcome)
				await run?.setStatus(failure && !signal?.aborted ? "failed" : "interrupted").catch(() => undefined);
			await run?.close();
			finetuner.dispose();
		}
	}

	/** The result; takes whatever steps are left. */
	async result(): Promise<FinetuneResult> {
		if (!this.started) for await (const _ of this);
		if (!this.outcome) throw new ArgumentError("this run has not finished; iterate over all of its steps first");
		return this.outcome;
	}

	private checkOptions(): void {
		const { checkpointEvery = 100, keep = 1, sampleEvery = 0 } = this.options;
		for (const [name, value, least] of [
			["checkpointEvery", checkpointEvery, 1],
			["keep", keep, 0],
			["sampleEvery", sampleEvery, 0],
		] as const)
			if (!Number.isInteger(value) || value < least)
				throw new ArgumentError(`${name} must be a whole number from ${least} on, not ${value}`);
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
		const { resume = false, keep = 1, tensorboard = false } = this.options;
		const { kind, isa, threads } = this.pipe.device;
		const now = new Date().toISOString();
		const pictures = [...set.pictures, ...(prior?.set.pictures ?? [])];
		const record: RunRecord<SizedSettings<FinetuneSettingsByMethod[M]>> = {
			format: "dreamdist.run",
			version: 1,
			method: this.method,
			settings,
			model: this.pipe.identity,
			pictures: pictures.map(({ path, hash, className }) => ({ path, hash, className })),
			device: { kind, isa, threads },
			node: process.version,
			created: now,
			updated: now,
			status: "running",
			step: 0,
		};
		return RunFolder.open(this.folder, runKind(this.method), record, {
			resume,
			keep,
			tensorboard,
			except: ["prior"],
		});
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
		run: Folder<M>,
	): AsyncGenerator<FinetuneStep, void, undefined> {
		const { checkpointEvery = 100, sampleEvery = 0, signal } = this.options;
		const { steps } = finetuner.settings;
		let last: FinetuneStep | null = null;
		let saved = run.checkpoint?.step ?? 0;
		const save = async () => {
			if (saved === finetuner.step) return;
			saved = finetuner.step;
			await run.save(finetuner.snapshot(), async () => undefined);
		};
		let failure: unknown = null;
		try {
			while (finetuner.step < steps) {
				signal?.throwIfAborted();
				last = await finetuner.next(signal);
				await run.appendStep(last);
				const samples = sampleEvery > 0 && last.step % sampleEvery === 0;
				if (samples || last.step % checkpointEvery === 0 || last.step === steps) await save();
				if (samples) await this.writeSamples(finetuner, tuning, run);
				yield last;
			}
		} catch (error) {
			failure = error;
			throw error;
		} finally {
			// Stopped by the signal or by the caller, the state is that of the last whole step.
			if (failure === null || signal?.aborted) await save();
		}
		const files = await tuning.save(run.folder, finetuner.read);
		await this.writePage(tuning, finetuner.settings, run);
		await run.setStatus("finished");
		this.outcome = { steps: finetuner.step, last, files, prompt: tuning.prompt };
	}

	private async writeSamples(finetuner: Finetuner, tuning: TuningMethod, run: Folder<M>): Promise<void> {
		const { validationPrompts = [], signal } = this.options;
		const prompts = [tuning.prompt, ...validationPrompts.map((text) => text.replaceAll("{}", tuning.prompt))];
		const model = liveModel(this.pipe, finetuner.change);
		const rows: ImageU8[][] = [];
		for (const prompt of prompts) {
			const row: ImageU8[] = [];
			const { size } = finetuner.settings;
			const pictures = generate(model, prompt, {
				size,
				count: COLUMNS,
				steps: SAMPLE_STEPS,
				...(signal && { signal }),
			});
			for await (const { image } of pictures) row.push(image);
			rows.push(row);
		}
		const { image } = await contactSheet(rows, { rowLabels: prompts });
		await writePng(await run.samplePath(finetuner.step), image, { recipe: { method: this.method, prompts } });
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
