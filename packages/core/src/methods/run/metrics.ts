// metrics.jsonl: a line a step.
import { appendFile, readFile } from "node:fs/promises";
import { writeFileAtomic } from "../../data/atomic.js";
import { fileError } from "../../data/file-system.js";

/** What every method says of a step: a line of metrics.jsonl. */
export interface StepMetrics {
	readonly step: number;
	readonly loss: number;
	/** The denoiser's error on the pictures to learn from. */
	readonly error: number;
	readonly gradientNorm: number;
	readonly learningRate: number;
	readonly timesteps: readonly number[];
	readonly seconds: number;
}

/** A step of learning a distribution. */
export interface MetricsLine extends StepMetrics {
	readonly orthogonal: number;
}

/** The lines that are there, in order; a line cut off by a crash is left out. */
export async function readMetrics<Line extends StepMetrics = MetricsLine>(path: string): Promise<Line[]> {
	let text: string;
	try {
		text = await readFile(path, "utf8");
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
		throw fileError(error, "read", path);
	}
	return text.split("\n").flatMap((line) => {
		try {
			return line === "" ? [] : [JSON.parse(line) as Line];
		} catch {
			return [];
		}
	});
}

/** One write of one line: a killed process leaves it whole or not there. */
export async function appendMetrics(path: string, line: StepMetrics): Promise<void> {
	try {
		await appendFile(path, `${JSON.stringify(line)}\n`);
	} catch (error) {
		throw fileError(error, "write", path);
	}
}

/** Drops the lines after a step: what follows will be written again. */
export async function truncateMetrics(path: string, step: number): Promise<void> {
	const kept = (await readMetrics<StepMetrics>(path)).filter((line) => line.step <= step);
	await writeFileAtomic(path, kept.map((line) => `${JSON.stringify(line)}\n`).join(""));
}
