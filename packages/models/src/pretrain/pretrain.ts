// Full training: the loop that every stage goes through.
import { join } from "node:path";
import {
	ArgumentError,
	type Device,
	DreamdistError,
	FormatError,
	type InputData,
	openSafetensors,
	type Program,
} from "@dreamdist/core";
import { readCheckpoint, writeCheckpoint } from "./checkpoint.js";
import { type ComponentFolder, WEIGHT_FILES } from "./model-folder.js";
import { type Recipe, STAGES, type StageName, type TrainingSettings } from "./recipe.js";
import { RunFiles } from "./run-files.js";
import { SceneStream } from "./scene-stream.js";
import { trainingSeed } from "./scenes.js";
import type { Stage, StageContext, TrainedModel } from "./stage.js";
import { AutoencoderStage } from "./stages/autoencoder.js";
import { ClassifierStage } from "./stages/classifier.js";
import { ClipStage } from "./stages/clip.js";
import { DenoiserStage } from "./stages/denoiser.js";
import { TrainedWeights } from "./trained-weights.js";

export interface PretrainOptions {
	readonly recipe: Recipe;
	readonly stage: StageName;
	/** The model folder to fill. Runs are in its `training/<stage>`. */
	readonly out: string;
	readonly device: Device;
	/** Go on from the last checkpoint, if there is one. Default false: a folder with a run is refused. */
	readonly resume?: boolean;
	/** Go on although the recipe's settings of the stage are not those that the run went by so far. Networks and seed stay. Default false. */
	readonly changeSettings?: boolean;
	/** Stop after this step of the recipe's; with a checkpoint, so that it can be resumed. */
	readonly until?: number;
	/** A model folder whose weights to start from, with fresh moments, instead of random ones. */
	readonly from?: string;
	/** Threads that draw pictures; 0 draws on the caller's. Default 1. */
	readonly drawingThreads?: number;
	/** Checkpoints to keep. Default 2. */
	readonly keep?: number;
	/** Stops after the step in progress, with a checkpoint. */
	readonly signal?: AbortSignal;
	/** Told while the pool of scenes is made that a recipe asks for. */
	readonly onPool?: (done: number, total: number) => void;
	readonly onPlan?: (plan: PretrainPlan) => void;
}

export interface PretrainPlan {
	readonly startStep: number;
	readonly steps: number;
	readonly batch: number;
	/** Numbers in the stage's weights. */
	readonly parameters: number;
	/** Bytes that a step needs in all. */
	readonly plannedBytes: number;
}

/** What one step did. */
export interface PretrainStep {
	/** Counted from 1. */
	readonly step: number;
	readonly loss: number;
	readonly learningRate: number;
	/** Wall-clock time since the step before. */
	readonly seconds: number;
	/** Figures of held-out scenes, where this step was measured. */
	readonly evaluation: Readonly<Record<string, number>> | null;
}

const FOLDERS: Readonly<Record<StageName, readonly ComponentFolder[]>> = {
	classifier: ["classifier"],
	vae: ["vae"],
	clip: ["text_encoder", "image_encoder"],
	unet: ["unet"],
};

async function openStage(name: StageName, context: StageContext): Promise<Stage> {
	switch (name) {
		case "classifier":
			return new ClassifierStage(context);
		case "vae":
			return new AutoencoderStage(context);
		case "clip":
			return ClipStage.create(context);
		case "unet":
			return DenoiserStage.create(context);
	}
}

/** Learning rate of a step, counted from 1. */
export function pretrainLearningRate(settings: TrainingSettings, step: number): number {
	const { learningRate, warmupSteps, schedule, decaySteps, finalShare, steps } = settings;
	if (step <= warmupSteps) return (learningRate * step) / warmupSteps;
	if (schedule === "constant") return learningRate;
	const from = Math.max(warmupSteps, steps - (decaySteps ?? steps));
	const done = Math.min(1, Math.max(0, step - from) / Math.max(1, steps - from));
	const left = schedule === "linear" ? 1 - done : (1 + Math.cos(Math.PI * done)) / 2;
	return learningRate * (finalShare + (1 - finalShare) * left);
}

/**
 * Trains the networks of one stage, all of their weights, on scenes of the world that are drawn as they are needed.
 *
 * A run that was stopped and resumed gives the same weights as one that never stopped: bit for bit on the CPU.
 *
 * ```ts
 * for await (const { step, loss } of pretrain({ recipe, stage: "vae", out: "models/mini", device })) console.log(step, loss);
 * ```
 *
 * @throws FormatError, FileError or PretrainFolderError in one sentence; DreamdistError `DIVERGED` when the loss is not finite
 */
export async function* pretrain(options: PretrainOptions): AsyncGenerator<PretrainStep, void, undefined> {
	const { recipe, stage: name, out, device, signal, resume = false, changeSettings = false } = options;
	const files = await RunFiles.open(out, name, recipe, { resume, changeSettings, device: device.toString() });
	let run: Run | null = null;
	try {
		run = await Run.open(options, files);
		yield* run.steps();
	} finally {
		await run?.close();
		await files.close();
	}
	signal?.throwIfAborted();
}

/** A stage in progress. */
class Run {
	private taken: number;
	private saved: number;
	/** When that was, by performance.now(). */
	private savedAt = performance.now();
	private readonly model: TrainedModel;
	/** Sums since the last line of metrics. */
	private sums: Record<string, number> = {};
	private summed = 0;

	private constructor(
		private readonly options: PretrainOptions,
		private readonly files: RunFiles,
		private readonly stage: Stage,
		private readonly weights: TrainedWeights,
		private readonly program: Program<string>,
		private readonly scenes: SceneStream,
		private readonly last: number,
	) {
		this.taken = files.startStep;
		this.saved = files.startStep;
		this.model = {
			open: (graph) => weights.openAverages(graph),
			read: async (weight) => (await weights.averages.get(weight)!.read()) as Float32Array,
		};
	}

	static async open(options: PretrainOptions, files: RunFiles): Promise<Run> {
		const { recipe, device, stage: name, out, signal, until, drawingThreads = 1 } = options;
		const settings: TrainingSettings = recipe.stages[name];
		const { steps, batch, data } = settings;
		if (until !== undefined && (!Number.isInteger(until) || until < 1))
			throw new ArgumentError(`the step to stop after must be a whole number from 1 on, not ${until}`);
		const last = Math.min(steps, until ?? steps);
		const number = STAGES.indexOf(name);
		const stage = await openStage(name, {
			device,
			recipe,
			folder: out,
			signal,
			drawingThreads,
			onPool: options.onPool,
		});
		let weights: TrainedWeights | null = null;
		try {
			weights = await TrainedWeights.create(device, stage.shapes, settings, {
				seed: recipe.seed * STAGES.length + number,
				...(stage.constant && { constant: stage.constant }),
			});
			if (files.startStep > 0) await readCheckpoint(files.checkpoints, files.startStep, weights.state);
			else if (options.from !== undefined) await startFrom(options.from, FOLDERS[name], weights);
			const trained = weights;
			const program = await device.compile(
				(graph) => trained.writeStep(graph, stage.writeLoss(graph, trained.open(graph), batch)),
				{ name: `${name} step`, lessMemory: ["use a smaller batch in the recipe"], ...(signal && { signal }) },
			);
			const scenes = new SceneStream(
				(step) => ({ first: trainingSeed(recipe.seed, number, step, batch), count: batch, data }),
				{ threads: drawingThreads, ahead: 2 * Math.max(1, drawingThreads) },
			);
			options.onPlan?.({
				startStep: files.startStep,
				steps: last,
				batch,
				parameters: weights.parameters,
				plannedBytes: program.memory.peak,
			});
			return new Run(options, files, stage, weights, program, scenes, last);
		} catch (error) {
			weights?.dispose();
			stage.dispose();
			throw error;
		}
	}

	async *steps(): AsyncGenerator<PretrainStep, void, undefined> {
		const { signal } = this.options;
		const { steps, checkpointEvery, evaluateEvery } = this.stage.settings;
		let failure: unknown = null;
		let since = performance.now();
		try {
			let prepared = this.taken < this.last ? this.prepare(this.taken + 1) : null;
			while (prepared && !signal?.aborted) {
				const step = this.taken + 1;
				const { inputs, learningRate } = await prepared;
				const running = this.program.run(inputs, signal ? { signal } : {});
				// The next step's pictures are made ready while this one is computed.
				prepared = step < this.last ? this.prepare(step + 1) : null;
				prepared?.catch(() => undefined);
				const result = await running;
				this.taken = step;
				const loss = this.require(step, result.loss![0]!);
				await this.log(step, result as Record<string, Float32Array>, learningRate);
				const evaluation = step === steps || step % evaluateEvery === 0 ? await this.evaluate() : null;
				if (step === this.last || step % checkpointEvery === 0) await this.save();
				const now = performance.now();
				yield { step, loss, learningRate, seconds: (now - since) / 1000, evaluation };
				since = now;
			}
		} catch (error) {
			failure = error;
			throw error;
		} finally {
			// Stopped by the signal or by the caller, the state is that of the last whole step.
			if (failure === null || signal?.aborted) await this.save();
		}
	}

	private async prepare(step: number): Promise<{ inputs: Record<string, InputData>; learningRate: number }> {
		const learningRate = pretrainLearningRate(this.stage.settings, step);
		const inputs = this.stage.inputsOfPool?.(step) ?? this.stage.inputs(step, await this.scenes.batch(step, this.last));
		return { inputs: { ...this.weights.inputs(step, learningRate), ...inputs }, learningRate };
	}

	private require(step: number, loss: number): number {
		if (Number.isFinite(loss)) return loss;
		throw new DreamdistError(
			"DIVERGED",
			`the loss of step ${step} of stage ${this.stage.name} is not a finite number; lower its learning rate in the recipe and resume from the checkpoint of step ${this.saved}`,
		);
	}

	private async log(step: number, result: Record<string, Float32Array>, learningRate: number): Promise<void> {
		for (const [name, value] of Object.entries(result)) this.sums[name] = (this.sums[name] ?? 0) + value[0]!;
		this.summed++;
		if (step % this.stage.settings.logEvery !== 0 && step !== this.last) return;
		const means = Object.entries(this.sums).map(([name, sum]) => [name, sum / this.summed]);
		await this.files.append("metrics.jsonl", { step, ...Object.fromEntries(means), learningRate });
		this.sums = {};
		this.summed = 0;
	}

	private async evaluate(): Promise<Readonly<Record<string, number>>> {
		const { figures, writeSamples } = await this.stage.evaluate(this.model);
		await this.files.append("evaluations.jsonl", { step: this.taken, ...figures });
		await writeSamples?.(await this.files.samplePath(this.taken));
		await this.stage.save(this.model);
		return figures;
	}

	private async save(): Promise<void> {
		if (this.saved === this.taken) return;
		await writeCheckpoint(this.files.checkpoints, this.taken, this.weights.state, this.options.keep ?? 2);
		const now = performance.now();
		await this.files.append("time.jsonl", {
			step: this.taken,
			from: this.saved,
			seconds: Math.round((now - this.savedAt) / 100) / 10,
		});
		this.saved = this.taken;
		this.savedAt = now;
	}

	async close(): Promise<void> {
		await this.scenes.close();
		this.program.dispose();
		this.weights.dispose();
		this.stage.dispose();
	}
}

/** Reads the weights of a model folder; numbers that it does not keep (CLIP's temperature) stay as they are. */
async function startFrom(
	folder: string,
	components: readonly ComponentFolder[],
	weights: TrainedWeights,
): Promise<void> {
	for (const component of components) {
		const path = join(folder, component, WEIGHT_FILES[component]);
		const file = await openSafetensors(path);
		try {
			for (const [name, { shape }] of file.tensors) {
				const tensor = weights.tensors.get(name);
				if (!tensor || tensor.shape.join() !== shape.join())
					throw new FormatError(
						"BAD_WEIGHTS",
						path,
						`${path} holds "${name}" [${shape.join(", ")}], which the recipe's network does not have`,
					);
				const data = await file.readF32(name);
				await tensor.write(data);
				await weights.averages.get(name)!.write(data);
			}
		} finally {
			await file.close();
		}
	}
}
