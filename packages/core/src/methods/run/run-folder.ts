// A run's folder: run.json, metrics.jsonl, checkpoints, samples, the distribution and its page.
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileError, makeFolders } from "../../data/file-system.js";
import { DreamdistError } from "../../errors.js";
import { checkpointSteps, removePartialCheckpoints, stepName } from "./checkpoint.js";
import { lockRun } from "./lock.js";
import { appendMetrics, type MetricsLine, readMetrics, type StepMetrics, truncateMetrics } from "./metrics.js";
import { givenReporting, type Reporting, type ReportingOptions, wholeReporting } from "./reporting.js";
import type { RunKind } from "./run-kind.js";
import { checkResumable, type RunRecord, readRunRecordOf, writeRunRecord } from "./run-record.js";
import { EventFile } from "./tensorboard.js";

/** The folder can't be used as asked. Code `RUN_FOLDER`. */
export class RunFolderError extends DreamdistError {
	constructor(message: string) {
		super("RUN_FOLDER", message);
	}
}

/** Names of a run's files. */
export function runPaths(folder: string) {
	return {
		record: join(folder, "run.json"),
		metrics: join(folder, "metrics.jsonl"),
		checkpoints: join(folder, "checkpoints"),
		samples: join(folder, "samples"),
		tensorboard: join(folder, "tensorboard"),
		distribution: join(folder, "distribution.safetensors"),
		page: join(folder, "index.html"),
	};
}

export interface OpenRunOptions {
	/** Go on from the last checkpoint. Without it a folder that is not empty is refused. */
	readonly resume: boolean;
	/** What is written on the way; a run that goes on keeps what is not given. */
	readonly reporting?: ReportingOptions;
	/** Names of files that may be there before the run is. */
	readonly except?: readonly string[];
}

/** An open run folder; its lock is held until `close`. */
export class RunFolder<
	Settings extends object,
	State extends { readonly step: number },
	Line extends StepMetrics = MetricsLine,
> {
	private constructor(
		readonly folder: string,
		private readonly kind: RunKind<Settings, State>,
		private record: RunRecord<Settings>,
		readonly reporting: Reporting,
		/** What the user should know about resuming. */
		readonly notices: readonly string[],
		/** Where to go on from; null: from the start. */
		readonly checkpoint: State | null,
		private readonly events: EventFile | null,
		private readonly unlock: () => Promise<void>,
	) {}

	/**
	 * Opens or makes the folder and takes its lock.
	 *
	 * @param kind of the method that the run is of
	 * @param record of the run that is about to start
	 * @throws RunFolderError when it is not empty and not to be resumed; RunLockedError; RunChangedError
	 */
	static async open<
		Settings extends object,
		State extends { readonly step: number },
		Line extends StepMetrics = MetricsLine,
	>(
		folder: string,
		kind: RunKind<Settings, State>,
		record: RunRecord<Settings>,
		options: OpenRunOptions,
	): Promise<RunFolder<Settings, State, Line>> {
		const paths = runPaths(folder);
		const isOccupied = await RunFolder.checkVacant(folder, options);
		const unlock = await lockRun(folder);
		try {
			const before = options.resume ? await readRunRecordOf(paths.record, kind) : null;
			if (options.resume && !before && isOccupied)
				throw new RunFolderError(`${folder} holds no run (there is no run.json), so none can be resumed`);
			const notices = before ? checkResumable(before, record, folder, kind) : [];
			await removePartialCheckpoints(paths.checkpoints);
			const last = before ? (await checkpointSteps(paths.checkpoints)).at(-1) : undefined;
			const checkpoint = last === undefined ? null : await kind.readCheckpoint(paths.checkpoints, last);
			if (before) await truncateMetrics(paths.metrics, checkpoint?.step ?? 0);
			const given = { ...before?.reporting, ...givenReporting(options.reporting ?? {}) };
			const reporting = wholeReporting(given, kind.keep);
			const now: RunRecord<Settings> = {
				...record,
				...(Object.keys(given).length > 0 && { reporting: given }),
				created: before?.created ?? record.created,
				status: "running",
				step: checkpoint?.step ?? 0,
			};
			await writeRunRecord(paths.record, now);
			const events = reporting.tensorboard
				? await EventFile.open(paths.tensorboard, await readMetrics<Line>(paths.metrics))
				: null;
			return new RunFolder<Settings, State, Line>(folder, kind, now, reporting, notices, checkpoint, events, unlock);
		} catch (error) {
			await unlock();
			throw error;
		}
	}

	/**
	 * Makes the folder, and sees whether a run can begin in it.
	 *
	 * @returns whether there is something in it
	 * @throws RunFolderError when there is, and it is not to be resumed
	 */
	static async checkVacant(
		folder: string,
		{ resume, except = [] }: Pick<OpenRunOptions, "resume" | "except">,
	): Promise<boolean> {
		const entries = await makeFolder(folder);
		const isOccupied = entries.some((name) => name !== "lock.json" && !name.startsWith(".") && !except.includes(name));
		if (isOccupied && !resume)
			throw new RunFolderError(`${folder} is not empty; resume the run in it (--resume), or choose another folder`);
		return isOccupied;
	}

	get paths() {
		return runPaths(this.folder);
	}

	async appendStep(line: Line): Promise<void> {
		await appendMetrics(this.paths.metrics, line);
		await this.events?.append(line);
	}

	metrics(): Promise<Line[]> {
		return readMetrics<Line>(this.paths.metrics);
	}

	/** Writes a checkpoint, then what `alsoWrite` writes, then that both are there. */
	async save(state: State, alsoWrite: () => Promise<void>): Promise<void> {
		await this.kind.writeCheckpoint(this.paths.checkpoints, state, this.reporting.keep);
		await alsoWrite();
		await this.update({ step: state.step });
	}

	/** Path of the samples of a step; their folder is made. */
	async samplePath(step: number): Promise<string> {
		await makeFolders(this.paths.samples);
		return join(this.paths.samples, `${stepName(step)}.png`);
	}

	/** File names of the samples so far, the oldest first. */
	async sampleNames(): Promise<string[]> {
		const names = await readdir(this.paths.samples).catch(() => []);
		return names.filter((name) => /^step-\d+\.png$/.test(name)).sort();
	}

	async hasSample(step: number): Promise<boolean> {
		return (await this.sampleNames()).includes(`${stepName(step)}.png`);
	}

	async setStatus(status: RunRecord["status"]): Promise<void> {
		await this.update({ status });
	}

	/** Releases the lock. */
	async close(): Promise<void> {
		await this.unlock();
	}

	private async update(change: Partial<RunRecord<Settings>>): Promise<void> {
		this.record = { ...this.record, ...change, updated: new Date().toISOString() };
		await writeRunRecord(this.paths.record, this.record);
	}
}

async function makeFolder(folder: string): Promise<string[]> {
	try {
		await makeFolders(folder);
		return await readdir(folder);
	} catch (error) {
		throw fileError(error, "make the run folder", folder);
	}
}
