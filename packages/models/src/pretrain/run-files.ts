// The files of a stage's run: what it was started with, its figures, its checkpoints.
import { appendFile, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { DreamdistError, fileError, lockRun, writeFileAtomic } from "@dreamdist/core";
import { z } from "zod";
import { readJsonFile } from "../loading/json-file.js";
import { checkpointSteps } from "./checkpoint.js";
import type { Recipe, StageName, TrainingSettings } from "./recipe.js";

/** A stage's folder can't be used as asked. Code `PRETRAIN_FOLDER`. */
export class PretrainFolderError extends DreamdistError {
	constructor(message: string) {
		super("PRETRAIN_FOLDER", message);
	}
}

/** Settings that change no number of any weight. */
const FREE: ReadonlySet<keyof TrainingSettings> = new Set([
	"logEvery",
	"checkpointEvery",
	"evaluateEvery",
	"evaluationPictures",
]);
/** The same, of a stage's own. */
const FREE_EXTRAS: ReadonlySet<string> = new Set(["guidance", "sampleSteps"]);

/** Networks that a stage trains or reads. */
const NETWORKS: Readonly<Record<StageName, readonly (keyof Recipe["networks"])[]>> = {
	classifier: ["classifier"],
	vae: ["vae"],
	clip: ["text_encoder", "image_encoder"],
	unet: ["vae", "text_encoder", "unet", "scheduler"],
};

const decisiveSchema = z.object({
	seed: z.number(),
	tokenizer: z.unknown(),
	networks: z.record(z.string(), z.unknown()),
	settings: z.record(z.string(), z.unknown()),
});
/** What decides the weights of a stage. */
type Decisive = z.infer<typeof decisiveSchema>;

const record = z.object({
	format: z.literal("dreamdist.pretrain"),
	version: z.literal(1),
	stage: z.string(),
	decisive: decisiveSchema,
	/** Settings that it went by before they were changed, and the last step taken with them. */
	earlier: z.array(z.object({ until: z.number(), settings: z.record(z.string(), z.unknown()) })).default([]),
	device: z.string(),
	created: z.string(),
});
type RunRecord = z.infer<typeof record>;

function decisive(recipe: Recipe, stage: StageName): Decisive {
	const settings = Object.entries(recipe.stages[stage]).filter(
		([key]) => !FREE.has(key as keyof TrainingSettings) && !FREE_EXTRAS.has(key),
	);
	return JSON.parse(
		JSON.stringify({
			seed: recipe.seed,
			tokenizer: stage === "clip" || stage === "unet" ? recipe.tokenizer : null,
			networks: Object.fromEntries(NETWORKS[stage].map((name) => [name, recipe.networks[name]])),
			settings: Object.fromEntries(settings),
		}),
	);
}

/** What a run goes on with: its record as it was, or with the recipe's new settings. */
function resumed(folder: string, before: unknown, now: Decisive, step: number, changeSettings: boolean): RunRecord {
	const parsed = record.safeParse(before);
	const refuse = (problem: string) => new PretrainFolderError(`${folder} ${problem}, or choose another folder`);
	const other = "was started with another recipe, so its checkpoints would not fit; resume with that one";
	if (!parsed.success) throw refuse(other);
	const was = parsed.data;
	for (const key of ["seed", "tokenizer", "networks"] as const)
		if (!isDeepStrictEqual(was.decisive[key], now[key])) throw refuse(other);
	const changed = [...new Set([...Object.keys(was.decisive.settings), ...Object.keys(now.settings)])].filter(
		(key) => !isDeepStrictEqual(was.decisive.settings[key], now.settings[key]),
	);
	if (changed.length === 0) return was;
	if (!changeSettings)
		throw refuse(
			`was started with another recipe: it differs in ${changed.join(", ")}; resume with that one, change the settings from here on (--change-settings)`,
		);
	return { ...was, decisive: now, earlier: [...was.earlier, { until: step, settings: was.decisive.settings }] };
}

/** One line of metrics.jsonl or evaluations.jsonl. */
export type FigureLine = Readonly<Record<string, number>> & { readonly step: number };

export class RunFiles {
	private constructor(
		readonly folder: string,
		/** Step of the last checkpoint; 0: none. */
		readonly startStep: number,
		private readonly unlock: () => Promise<void>,
	) {}

	/**
	 * Makes or opens `training/<stage>` in the model folder and takes its lock.
	 *
	 * @throws PretrainFolderError when there is a run already and it is not to be resumed, or the recipe is another: its settings may
	 * change where `changeSettings` says so, and the record keeps the earlier ones
	 */
	static async open(
		modelFolder: string,
		stage: StageName,
		recipe: Recipe,
		options: { resume: boolean; changeSettings: boolean; device: string },
	): Promise<RunFiles> {
		const folder = join(modelFolder, "training", stage);
		try {
			await mkdir(folder, { recursive: true });
		} catch (error) {
			throw fileError(error, "make the folder", folder);
		}
		const unlock = await lockRun(folder);
		try {
			const steps = await checkpointSteps(join(folder, "checkpoints"));
			const startStep = steps.at(-1) ?? 0;
			if (startStep > 0 && !options.resume)
				throw new PretrainFolderError(
					`${folder} holds a run with a checkpoint of step ${startStep}; go on with it (--resume), or choose another folder`,
				);
			const path = join(folder, "run.json");
			const now = decisive(recipe, stage);
			const run: RunRecord =
				startStep > 0
					? resumed(folder, await readJsonFile(path), now, startStep, options.changeSettings)
					: {
							format: "dreamdist.pretrain",
							version: 1,
							stage,
							decisive: now,
							earlier: [],
							device: options.device,
							created: new Date().toISOString(),
						};
			await writeFileAtomic(path, `${JSON.stringify(run, null, "\t")}\n`);
			const files = new RunFiles(folder, startStep, unlock);
			for (const name of ["metrics.jsonl", "evaluations.jsonl", "time.jsonl"]) await files.truncate(name);
			return files;
		} catch (error) {
			await unlock();
			throw error;
		}
	}

	get checkpoints(): string {
		return join(this.folder, "checkpoints");
	}

	/** Path of a step's picture grid; its folder is made. */
	async samplePath(step: number): Promise<string> {
		await mkdir(join(this.folder, "samples"), { recursive: true });
		return join(this.folder, "samples", `step-${String(step).padStart(6, "0")}.png`);
	}

	/** `time.jsonl` says how long the steps up to each checkpoint took. */
	async append(name: "metrics.jsonl" | "evaluations.jsonl" | "time.jsonl", line: FigureLine): Promise<void> {
		const path = join(this.folder, name);
		try {
			await appendFile(path, `${JSON.stringify(line)}\n`);
		} catch (error) {
			throw fileError(error, "write", path);
		}
	}

	close(): Promise<void> {
		return this.unlock();
	}

	/** Drops the lines after the step that training goes on from, and one that a killed process left half. */
	private async truncate(name: string): Promise<void> {
		const path = join(this.folder, name);
		const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
			if (error.code === "ENOENT") return null;
			throw fileError(error, "read", path);
		});
		if (text === null) return;
		const kept = text.split("\n").filter((line) => {
			try {
				return (JSON.parse(line) as FigureLine).step <= this.startStep;
			} catch {
				return false;
			}
		});
		await writeFileAtomic(path, kept.map((line) => `${line}\n`).join(""));
	}
}
