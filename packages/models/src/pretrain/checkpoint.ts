// Checkpoints of full training: one safetensors file per step, there whole or not at all.
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import {
	FormatError,
	fileError,
	openSafetensors,
	type Tensor,
	type TensorData,
	writeSafetensors,
} from "@dreamdist/core";

const FILE = /^step-(\d{6,})\.safetensors$/;

function pathOf(folder: string, step: number): string {
	return join(folder, `step-${String(step).padStart(6, "0")}.safetensors`);
}

/** Steps of the checkpoints that are there, ascending. */
export async function checkpointSteps(folder: string): Promise<number[]> {
	const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
		if (error.code === "ENOENT") return [];
		throw fileError(error, "read the folder", folder);
	});
	return names
		.flatMap((name) => Number(FILE.exec(name)?.[1] ?? Number.NaN))
		.filter(Number.isFinite)
		.sort((a, b) => a - b);
}

/** Writes the state of a step and removes the checkpoints before the last `keep`. */
export async function writeCheckpoint(
	folder: string,
	step: number,
	state: ReadonlyMap<string, Tensor>,
	keep: number,
): Promise<void> {
	const path = pathOf(folder, step);
	try {
		await mkdir(folder, { recursive: true });
	} catch (error) {
		throw fileError(error, "make the folder", folder);
	}
	const tensors = new Map<string, TensorData>();
	for (const [name, tensor] of state)
		tensors.set(name, { dtype: "F32", shape: tensor.shape, data: () => tensor.read() });
	await writeSafetensors(path, tensors, { metadata: { step: String(step) } });
	for (const old of (await checkpointSteps(folder)).slice(0, -keep)) await rm(pathOf(folder, old), { force: true });
}

/** Reads a checkpoint into the state. @throws FormatError `BAD_CHECKPOINT` naming the file if it is of another network */
export async function readCheckpoint(folder: string, step: number, state: ReadonlyMap<string, Tensor>): Promise<void> {
	const path = pathOf(folder, step);
	const file = await openSafetensors(path);
	try {
		const wrong = (problem: string) =>
			new FormatError(
				"BAD_CHECKPOINT",
				path,
				`${path} does not fit the recipe: ${problem}; resume with the recipe it was written with`,
			);
		for (const name of file.tensors.keys())
			if (!state.has(name)) throw wrong(`it holds "${name}", which the networks do not have`);
		for (const [name, tensor] of state) {
			const stored = file.tensors.get(name);
			if (!stored) throw wrong(`it lacks "${name}"`);
			if (stored.shape.join() !== tensor.shape.join())
				throw wrong(`"${name}" is [${stored.shape.join(", ")}] instead of [${tensor.shape.join(", ")}]`);
			await tensor.write(await file.readF32(name));
		}
	} finally {
		await file.close();
	}
}
