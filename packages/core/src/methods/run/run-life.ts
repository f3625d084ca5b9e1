// The life of a run, whatever it learns: its steps, what is written on the way, and how it ends.
import type { StepMetrics } from "./metrics.js";
import type { RunFolder } from "./run-folder.js";
import type { RunRecord } from "./run-record.js";

type AnyRunFolder = RunFolder<object, { readonly step: number }, StepMetrics>;
type RunningFolder = Pick<AnyRunFolder, "reporting" | "hasSample" | "appendStep" | "setStatus">;

/**
 * Opens a run's folder for as long as its steps go on, and leaves its record saying how the run ended.
 *
 * @param open gives null where nothing is to be written
 */
export async function* inFolder<Folder extends Pick<AnyRunFolder, "setStatus" | "close"> | null, Step>(
	open: () => Promise<Folder>,
	steps: (folder: Folder) => AsyncGenerator<Step, void, undefined>,
	signal: AbortSignal | undefined,
): AsyncGenerator<Step, void, undefined> {
	const folder = await open();
	let ended: RunRecord["status"] = "interrupted";
	try {
		yield* steps(folder);
		ended = "finished";
	} catch (error) {
		if (!signal?.aborted) ended = "failed";
		throw error;
	} finally {
		// A disk that refuses the status must not hide why the run ended.
		if (ended !== "finished") await folder?.setStatus(ended).catch(() => undefined);
		await folder?.close();
	}
}

/** What a run does between its folder's writes. */
export interface RunWork<Step extends StepMetrics> {
	/** In all. */
	readonly steps: number;
	/** Steps taken so far. */
	readonly step: number;
	next(signal?: AbortSignal): Promise<Step>;
	/** What metrics.jsonl keeps of a step. Default all of it. */
	lineOf?(step: Step): StepMetrics;
	/** Told the steps taken, before the first and after each. */
	observe?(): Promise<void>;
	/** Writes a checkpoint. */
	save(): Promise<void>;
	/** Writes the grid of pictures of this step. */
	sample(): Promise<void>;
	/** Every step is taken: writes what was learned, and its page. */
	finish(): Promise<void>;
}

/**
 * Takes the steps that are left, then finishes.
 *
 * A run that is aborted, or whose iteration ends early, has a checkpoint of its last whole step; one that fails keeps the one before.
 *
 * @param folder null: nothing is written
 */
export async function* takeSteps<Step extends StepMetrics>(
	work: RunWork<Step>,
	folder: RunningFolder | null,
	signal: AbortSignal | undefined,
): AsyncGenerator<Step, void, undefined> {
	const { checkpointEvery = 0, sampleEvery = 0 } = folder?.reporting ?? {};
	const isDue = (every: number) => every > 0 && work.step > 0 && work.step % every === 0;
	let saved = work.step;
	const save = async () => {
		if (!folder || saved === work.step) return;
		saved = work.step;
		await work.save();
	};
	// A process that was killed between a checkpoint and its samples left them out.
	if (folder && isDue(sampleEvery) && !(await folder.hasSample(work.step))) await work.sample();
	if (work.step === 0) await work.observe?.();
	let failure: unknown = null;
	try {
		while (work.step < work.steps) {
			signal?.throwIfAborted();
			const step = await work.next(signal);
			await folder?.appendStep(work.lineOf?.(step) ?? step);
			if (isDue(sampleEvery) || isDue(checkpointEvery) || work.step === work.steps) await save();
			if (isDue(sampleEvery)) await work.sample();
			await work.observe?.();
			yield step;
		}
	} catch (error) {
		failure = error;
		throw error;
	} finally {
		if (failure === null || signal?.aborted) await save();
	}
	await work.finish();
	await folder?.setStatus("finished");
}
