// Runs of the methods that fine-tune: their settings in run.json, and their checkpoints.
import {
	badCheckpoint,
	openTensorCheckpoint,
	type RunKind,
	type TensorData,
	writeTensorCheckpoint,
} from "@dreamdist/core";
import type { z } from "zod";
import type { FinetuneState, SizedSettings } from "./finetuner.js";
import { type FinetuneMethod, type FinetuneSettingsByMethod, METHOD_SETTINGS } from "./settings.js";

async function readCheckpoint(folder: string, step: number): Promise<FinetuneState> {
	const file = await openTensorCheckpoint(folder, step);
	const tensors = new Map(
		[...file.tensors].map(([name, { shape }]) => [name, { shape, read: () => file.readF32(name) }]),
	);
	return { step, tensors, close: () => file.close() };
}

async function writeCheckpoint(folder: string, state: FinetuneState, keep: number): Promise<void> {
	// A tensor is read when its turn to be written comes: never all of a network at once.
	const tensors = new Map<string, TensorData>(
		[...state.tensors].map(([name, { shape, read }]) => [name, { dtype: "F32", shape, data: read }]),
	);
	await writeTensorCheckpoint(folder, state.step, tensors, keep);
}

/** What a run folder of this method holds. */
export function runKind<M extends FinetuneMethod>(
	method: M,
): RunKind<SizedSettings<FinetuneSettingsByMethod[M]>, FinetuneState> {
	return {
		method,
		// Records are written with the size filled in.
		settings: METHOD_SETTINGS[method] as unknown as z.ZodType<SizedSettings<FinetuneSettingsByMethod[M]>>,
		changeable: new Set(["steps", "recompute"]),
		// Those of whole networks are large.
		keep: 1,
		readCheckpoint,
		writeCheckpoint,
	};
}

/** @throws FormatError `BAD_CHECKPOINT` unless the checkpoint has exactly these tensors */
export function checkState(state: FinetuneState, expected: FinetuneState, path: string): void {
	const shapes = ({ tensors }: FinetuneState) =>
		[...tensors].map(([name, { shape }]) => `${name} ${shape.join()}`).sort();
	if (shapes(state).join() !== shapes(expected).join()) throw badCheckpoint(path, state.step);
}
