// One cell of a comparison: a method trained on a set, its pictures, and what they measure. Every part is found again where it was made before.
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import {
	type FrozenModel,
	generate,
	learn,
	makeFolders,
	PromptDistribution,
	readAnyRunRecord,
	type SampledSource,
	type SchedulerConfig,
	samplingOf,
	writeFileAtomic,
	writePng,
} from "@dreamdist/core";
import {
	type CaptionMethod,
	type FinetuneMethod,
	findTuned,
	finetune,
	loadPipeline,
	openTuned,
	type Pipeline,
	priorPictures,
	writeCaptionRun,
} from "@dreamdist/models";
import { z } from "zod";
import { type EvaluateOptions, type Evaluation, evaluate } from "../evaluate/evaluate.js";
import type { ComparisonCell } from "./comparison-file.js";
import { type ComparedMethod, type CompareSettings, settingsFor } from "./plan.js";

/** Pictures sampled at once. It changes none. */
const BATCH = 8;
/** The prior is the same for every seed. */
const PRIOR_SEED = 0;

export interface CellProgress {
	readonly kind: "prior" | "train" | "paint" | "evaluate";
	readonly done: number;
	readonly total: number;
}

export interface CellContext {
	/** The comparison's folder. */
	readonly folder: string;
	readonly pipe: Pipeline;
	readonly settings: CompareSettings;
	/** The set's reference pictures. */
	readonly references: readonly string[];
	readonly measuring: Pick<EvaluateOptions, "instruments" | "encoders" | "cache">;
	readonly signal: AbortSignal | undefined;
	readonly onProgress: (progress: CellProgress) => void;
}

const measuredSchema = z.object({ value: z.number(), encoder: z.string() });
const metricsSchema = z.object({
	format: z.literal("dreamdist.cell"),
	version: z.literal(1),
	/** The prompt that was painted; null where prompts were sampled. */
	prompt: z.string().nullable(),
	pictures: z.number(),
	metrics: z.record(z.string(), measuredSchema),
	unavailable: z.array(z.object({ metric: z.string(), reason: z.string() })),
	notes: z.array(z.string()),
});
/** metrics.json of a cell that is done. */
export type CellMetrics = z.infer<typeof metricsSchema>;
export { metricsSchema as cellMetricsSchema };

/** Does what is left of a cell. */
export async function runCell(cell: ComparisonCell, context: CellContext): Promise<void> {
	const home = join(context.folder, cell.folder);
	await makeFolders(home);
	await train(cell, join(home, "run"), context);
	const { files, prompt } = await paint(cell, home, context);
	const evaluation = await measure(cell, files, context);
	const [{ metrics }] = evaluation.sets as [Evaluation["sets"][number]];
	const contents: CellMetrics = {
		format: "dreamdist.cell",
		version: 1,
		prompt,
		pictures: files.length,
		metrics: metrics as CellMetrics["metrics"],
		unavailable: [...evaluation.unavailable],
		notes: [...evaluation.notes],
	};
	await writeFileAtomic(join(home, "metrics.json"), `${JSON.stringify(contents, null, "\t")}\n`);
	// Of whole networks they take more room than everything else together; run.json says how they are made again.
	if (cell.method !== "dream-distribution")
		await rm(join(home, "run", "checkpoints"), { recursive: true, force: true });
}

async function train(cell: ComparisonCell, out: string, context: CellContext): Promise<void> {
	const { pipe, settings, references, signal, onProgress } = context;
	const method = cell.method as ComparedMethod;
	const record = await readAnyRunRecord(join(out, "run.json"));
	if (record?.status === "finished") return;
	const own = settingsFor(method, settings, cell.set);
	if (method === "short-caption" || method === "long-caption") {
		await rm(out, { recursive: true, force: true });
		await writeCaptionRun(pipe, method satisfies CaptionMethod, own, out);
		return;
	}
	const resume = record !== null;
	const follow = async (run: AsyncIterable<{ step: number }>, steps: () => number) => {
		for await (const { step } of run) onProgress({ kind: "train", done: step, total: steps() });
	};
	let steps = 0;
	const onPlan = (plan: { settings: { steps: number } }) => {
		steps = plan.settings.steps;
	};
	const { seed } = cell;
	if (method === "dream-distribution") {
		const run = learn(pipe, references, { ...own, seed, out, resume, keep: 1, onPlan, ...(signal && { signal }) });
		await follow(run, () => steps);
		return;
	}
	const priorFolder = await sharedPrior(own, context);
	const given = { ...own, seed } as never;
	const run = finetune(pipe, method satisfies FinetuneMethod, references, given, {
		out,
		resume,
		keep: 1,
		priorFolder,
		signal,
		onPlan,
	});
	await follow(run, () => steps);
}

/** Pictures of a class, painted once for all methods and seeds. */
async function sharedPrior(
	{ classPrompt }: Record<string, unknown>,
	{ folder, pipe, settings, signal, onProgress }: CellContext,
): Promise<string | undefined> {
	if (typeof classPrompt !== "string") return undefined;
	const shared = join(folder, "prior", classPrompt.toLowerCase().replace(/[^a-z0-9]+/g, "-"));
	const { size, steps, guidance, priorPictures: count } = settings;
	await priorPictures(pipe, shared, {
		prompt: classPrompt,
		count,
		seed: PRIOR_SEED,
		size: size ?? undefined,
		steps: steps ?? undefined,
		guidance: guidance ?? undefined,
		signal,
		onPicture: (done, total) => onProgress({ kind: "prior", done, total }),
	});
	return shared;
}

interface Opened {
	readonly model: FrozenModel;
	readonly source: SampledSource | string;
	dispose(): void;
}

/** What a finished run paints with. */
async function openRun(run: string, pipe: Pipeline): Promise<Opened> {
	const tuned = await findTuned(run);
	if (!tuned) {
		const source = await PromptDistribution.load(join(run, "distribution.safetensors"));
		return { model: pipe, source, dispose: () => undefined };
	}
	const source = tuned.prompt!;
	if (tuned.folder !== null) {
		const whole = await loadPipeline(tuned.folder, { device: pipe.device });
		return { model: whole, source, dispose: () => whole.dispose() };
	}
	if (tuned.files.length === 0) return { model: pipe, source, dispose: () => undefined };
	const model = await openTuned(pipe, tuned.files);
	return { model, source, dispose: () => model.dispose() };
}

const nameOf = (index: number) => `${String(index).padStart(4, "0")}.png`;

async function paint(
	cell: ComparisonCell,
	home: string,
	{ pipe, settings, signal, onProgress }: CellContext,
): Promise<{ files: string[]; prompt: string | null }> {
	const folder = join(home, "pictures");
	await makeFolders(folder);
	const there = new Set(await readdir(folder));
	const { pictures: count, size, sampler } = settings;
	let done = 0;
	while (there.has(nameOf(done))) done++;
	const { model, source, dispose } = await openRun(join(home, "run"), pipe);
	const prompt = typeof source === "string" ? source : null;
	try {
		const scheduler: SchedulerConfig = sampler === null ? pipe.scheduler : pipe.schedulerWith({ sampler });
		// What the model's files say of sampling is the base's, whatever was trained.
		const { steps, guidance } = samplingOf(pipe, {
			...(settings.steps !== null && { steps: settings.steps }),
			...(settings.guidance !== null && { guidance: settings.guidance }),
		});
		if (done < count) {
			const pictures = generate(model, source, {
				count: count - done,
				firstIndex: done,
				batch: Math.min(BATCH, count - done),
				seed: cell.seed,
				steps,
				guidance,
				scheduler,
				...(size && { size }),
				...(signal && { signal }),
			});
			for await (const { image, index } of pictures) {
				const recipe = {
					dreamdist: "compare",
					prompt,
					seed: cell.seed,
					index,
					steps,
					guidance,
					sampler: scheduler.sampler,
				};
				await writePng(join(folder, nameOf(index)), image, { recipe });
				onProgress({ kind: "paint", done: index + 1, total: count });
			}
		}
	} finally {
		dispose();
	}
	return { files: Array.from({ length: count }, (_, i) => join(folder, nameOf(i))), prompt };
}

async function measure(
	{ set, method }: ComparisonCell,
	files: readonly string[],
	{ pipe, references, measuring, signal, onProgress }: CellContext,
): Promise<Evaluation> {
	const { evaluation } = await evaluate({
		device: pipe.device,
		real: { name: set, files: references },
		sets: [{ name: method, files }],
		...measuring,
		signal,
		onProgress: (event) => {
			if (event.kind === "features") onProgress({ kind: "evaluate", done: event.done, total: event.total });
		},
	});
	return evaluation;
}
