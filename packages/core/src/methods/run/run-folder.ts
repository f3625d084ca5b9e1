// A run's folder: run.json, metrics.jsonl, checkpoints, samples, the distribution and its page.
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileError, makeFolders } from "../../data/file-system.js";
import { DreamdistError } from "../../errors.js";
import type { LearnerState, LearnStep } from "../learner.js";
import type { PromptDistribution } from "../prompts/distribution.js";
import { checkpointSteps, readCheckpoint, removePartialCheckpoints, stepName, writeCheckpoint } from "./checkpoint.js";
import { lockRun } from "./lock.js";
import { appendMetrics, type MetricsLine, readMetrics, truncateMetrics } from "./metrics.js";
import { checkResumable, type RunRecord, readRunRecord, writeRunRecord } from "./run-record.js";
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
	/** Checkpoints to keep; 0: all. */
	readonly keep: number;
	/** Write event files for TensorBoard too. Default false. */
	readonly tensorboard?: boolean;
}

/** An open run folder; its lock is held until `close`. */
export class RunFolder {
	private constructor(
		readonly folder: string,
		private record: RunRecord,
		private readonly keep: number,
		/** What the user should know about resuming. */
		readonly notices: readonly string[],
		/** Where to go on from; null: from the start. */
		readonly checkpoint: LearnerState | null,
		private readonly events: EventFile | null,
		private readonly unlock: () => Promise<void>,
	) {}

	/**
	 * Opens or makes the folder and takes its lock.
	 *
	 * @param record of the run that is about to start
	 * @throws RunFolderError when it is not empty and not to be resumed; RunLockedError; RunChangedError
	 */
	static async open(folder: string, record: RunRecord, options: OpenRunOptions): Promise<RunFolder> {
		const paths = runPaths(folder);
		const entries = await makeFolder(folder);
		if (!options.resume && entries.some((name) => name !== "lock.json" && !name.startsWith(".")))
			throw new RunFolderError(`${folder} is not empty; resume the run in it (--resume), or choose another folder`);
		const unlock = await lockRun(folder);
		try {
			const before = options.resume ? await readRunRecord(paths.record) : null;
			if (options.resume && !before && entries.some((name) => name !== "lock.json" && !name.startsWith(".")))
				throw new RunFolderError(`${folder} holds no run (there is no run.json), so none can be resumed`);
			const notices = before ? checkResumable(before, record, folder) : [];
			await removePartialCheckpoints(paths.checkpoints);
			const last = before ? (await checkpointSteps(paths.checkpoints)).at(-1) : undefined;
			const checkpoint = last === undefined ? null : await readCheckpoint(paths.checkpoints, last);
			if (before) await truncateMetrics(paths.metrics, checkpoint?.step ?? 0);
			const now: RunRecord = {
				...record,
				created: before?.created ?? record.created,
				status: "running",
				step: checkpoint?.step ?? 0,
			};
			await writeRunRecord(paths.record, now);
			const events = options.tensorboard
				? await EventFile.open(paths.tensorboard, await readMetrics(paths.metrics))
				: null;
			return new RunFolder(folder, now, options.keep, notices, checkpoint, events, unlock);
		} catch (error) {
			await unlock();
			throw error;
		}
	}

	get paths() {
		return runPaths(this.folder);
	}

	async appendStep(step: LearnStep): Promise<void> {
		const { pictures: _, ...line } = step;
		await appendMetrics(this.paths.metrics, line satisfies MetricsLine);
		await this.events?.append(line);
	}

	metrics(): Promise<MetricsLine[]> {
		return readMetrics(this.paths.metrics);
	}

	/** Writes the checkpoint and the distribution as they are now. */
	async save(state: LearnerState, distribution: PromptDistribution): Promise<void> {
		await writeCheckpoint(this.paths.checkpoints, state, this.keep);
		await distribution.save(this.paths.distribution);
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

	private async update(change: Partial<RunRecord>): Promise<void> {
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
