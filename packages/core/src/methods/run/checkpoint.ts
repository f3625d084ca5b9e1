// Checkpoints: one folder per step, there whole or not at all.
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileError } from "../../data/file-system.js";
import { openSafetensors, type SafetensorsFile } from "../../data/safetensors/reader.js";
import { type TensorData, writeSafetensors } from "../../data/safetensors/writer.js";
import { FormatError } from "../../errors.js";
import type { LearnerState } from "../learner.js";

const FILE = "state.safetensors";
const FOLDER = /^step-(\d{6,})$/;
const PARTIAL = /^\.partial-/;

/** "step-000200" */
export function stepName(step: number): string {
	return `step-${String(step).padStart(6, "0")}`;
}

/** Steps of the checkpoints that are there, ascending. */
export async function checkpointSteps(folder: string): Promise<number[]> {
	const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
		if (error.code === "ENOENT") return [];
		throw fileError(error, "read the folder", folder);
	});
	return names
		.flatMap((name) => {
			const match = FOLDER.exec(name);
			return match ? [Number(match[1])] : [];
		})
		.sort((a, b) => a - b);
}

/**
 * Writes named tensors as a checkpoint: aside, then its folder renamed into place; removes the oldest beyond `keep` (0: keeps all).
 *
 * @returns its folder
 */
export async function writeTensorCheckpoint(
	folder: string,
	step: number,
	tensors: Readonly<Record<string, TensorData>> | ReadonlyMap<string, TensorData>,
	keep = 0,
): Promise<string> {
	const name = stepName(step);
	const final = join(folder, name);
	const partial = join(folder, `.partial-${name}`);
	try {
		await mkdir(folder, { recursive: true });
		await rm(partial, { recursive: true, force: true });
		await mkdir(partial);
		await writeSafetensors(join(partial, FILE), tensors, { metadata: { step: String(step) } });
		// A step taken again after a resume gives the same checkpoint.
		await rm(final, { recursive: true, force: true });
		await rename(partial, final);
		await syncFolder(folder);
	} catch (error) {
		await rm(partial, { recursive: true, force: true }).catch(() => undefined);
		throw fileError(error, "write the checkpoint", final);
	}
	if (keep > 0)
		for (const old of (await checkpointSteps(folder)).slice(0, -keep))
			await rm(join(folder, stepName(old)), { recursive: true });
	return final;
}

/** Opens a checkpoint's file. @throws FormatError `BAD_CHECKPOINT` where it is of another step */
export async function openTensorCheckpoint(folder: string, step: number): Promise<SafetensorsFile> {
	const path = join(folder, stepName(step), FILE);
	const file = await openSafetensors(path);
	if (Number(file.metadata.get("step")) === step) return file;
	await file.close();
	throw badCheckpoint(path, step);
}

/** The error for a checkpoint that is not what it should be. */
export function badCheckpoint(path: string, step: number): FormatError {
	return new FormatError(
		"BAD_CHECKPOINT",
		path,
		`${path} is not the checkpoint of step ${step}; delete its folder to go on from the one before`,
	);
}

/** A checkpoint of learning a distribution. */
export async function writeCheckpoint(folder: string, state: LearnerState, keep = 0): Promise<string> {
	const shape = [state.tokens.length];
	return writeTensorCheckpoint(
		folder,
		state.step,
		{
			tokens: { dtype: "F32", shape, data: state.tokens },
			exp_avg: { dtype: "F32", shape, data: state.expAvg },
			exp_avg_sq: { dtype: "F32", shape, data: state.expAvgSq },
			class_steps: { dtype: "I32", shape: [state.classSteps.length], data: state.classSteps },
		},
		keep,
	);
}

/** What a process that was killed left half done. */
export async function removePartialCheckpoints(folder: string): Promise<void> {
	for (const name of await readdir(folder).catch(() => []))
		if (PARTIAL.test(name)) await rm(join(folder, name), { recursive: true, force: true });
}

/** @throws FormatError `BAD_CHECKPOINT` naming the file when it is not what it should be */
export async function readCheckpoint(folder: string, step: number): Promise<LearnerState> {
	const file = await openTensorCheckpoint(folder, step);
	try {
		const state = {
			step,
			tokens: await file.readF32("tokens"),
			expAvg: await file.readF32("exp_avg"),
			expAvgSq: await file.readF32("exp_avg_sq"),
			classSteps: await file.readI32("class_steps"),
		};
		const size = state.tokens.length;
		if (state.expAvg.length !== size || state.expAvgSq.length !== size)
			throw badCheckpoint(join(folder, stepName(step), FILE), step);
		return state;
	} finally {
		await file.close();
	}
}

async function syncFolder(folder: string): Promise<void> {
	// Windows has no handle of a folder; its renames are in order.
	const handle = await open(folder, "r").catch(() => null);
	if (!handle) return;
	try {
		await handle.sync();
	} finally {
		await handle.close();
	}
}
