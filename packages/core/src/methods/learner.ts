// Learning, step by step: which pictures, timesteps and random numbers a step has, and the program that takes it.
import type { InputData, Program } from "../compile/program.js";
import type { Device } from "../device/device.js";
import { ArgumentError, DreamdistError } from "../errors.js";
import { type LearnSettings, learningRateAt } from "./learn-settings.js";
import { checkSize } from "./picture-sampler.js";
import { MomentCache, type PictureSet } from "./pictures/picture-set.js";
import type { FrozenModel } from "./pipeline.js";
import { PromptDistribution } from "./prompts/distribution.js";
import { frameData } from "./prompts/features.js";
import { frameWords, type PromptFrame, packFrames } from "./prompts/frame.js";
import { compileLearningStep, type LearningOutputs, type LearningShape } from "./prompts/learning-program.js";
import { timestepScalars } from "./prompts/loss.js";
import { normals, randomKeys, shuffledOrder, uniform } from "./prompts/randomness.js";
import { TokenState } from "./prompts/token-update.js";
import { checkTimesteps, drawTimestep } from "./timesteps.js";

/** What one step did. */
export interface LearnStep {
	/** Counted from 1. */
	readonly step: number;
	/** Weighted error + λ · orthogonal, over the step's pictures. */
	readonly loss: number;
	/** The denoiser's (weighted) mean squared error. */
	readonly error: number;
	/** The orthogonal loss before λ. */
	readonly orthogonal: number;
	/** Global norm of the gradient before clipping. */
	readonly gradientNorm: number;
	readonly learningRate: number;
	readonly timesteps: readonly number[];
	/** Indices into the picture set. */
	readonly pictures: readonly number[];
	/** Wall-clock time of the step. */
	readonly seconds: number;
}

/** Everything that learning changes; what a checkpoint holds. */
export interface LearnerState {
	/** Steps taken. */
	readonly step: number;
	/** [C, K, M, d], and AdamW's moments of that shape. */
	readonly tokens: Float32Array;
	readonly expAvg: Float32Array;
	readonly expAvgSq: Float32Array;
	/** Steps that each class has taken, [C]. */
	readonly classSteps: Int32Array;
}

/** The loss is no number any more. Code `DIVERGED`. The state of the step before is lost; a checkpoint of it is not. */
export class DivergenceError extends DreamdistError {
	constructor(
		readonly step: number,
		readonly timesteps: readonly number[],
	) {
		super(
			"DIVERGED",
			`the loss of step ${step} is not a finite number (timestep${timesteps.length > 1 ? "s" : ""} ${timesteps.join(", ")}); ` +
				"try a lower learning rate or another dtype (bf16 or f32)",
		);
	}
}

interface Slot {
	readonly picture: number;
	readonly augmentation: number;
	readonly timestep: number;
	readonly classIndex: number;
}

/** Distinct items in the order they come, filled up with others of 0 … total − 1 to `count`. */
function distinct(items: readonly number[], count: number, total: number): number[] {
	const chosen = [...new Set(items)];
	for (let other = 0; chosen.length < count && other < total; other++) if (!chosen.includes(other)) chosen.push(other);
	return chosen;
}

const DEFAULT_DEVIATION = 0.02;
/** Small beside an embedding's own size, and enough for the prompts to part. */
const DEFAULT_WORD_DEVIATION = 0.002;

/** A run of learning on a device. Steps must be taken in their order. */
export class Learner implements Disposable {
	private taken = 0;

	private constructor(
		private readonly model: FrozenModel,
		private readonly set: PictureSet,
		readonly settings: LearnSettings,
		/** Class names; null without classes. */
		readonly classes: readonly string[] | null,
		private readonly frames: readonly PromptFrame[],
		private readonly state: TokenState,
		private readonly shape: LearningShape,
		private readonly program: Program<LearningOutputs>,
		private readonly moments: MomentCache,
		private readonly classSteps: Int32Array,
	) {}

	/** @throws ArgumentError for settings that do not fit the model or the pictures */
	static async create(
		model: FrozenModel,
		set: PictureSet,
		settings: LearnSettings,
		signal?: AbortSignal,
	): Promise<Learner> {
		const { device, textEncoder, autoencoder, denoiser } = model;
		const { prompts, vectors, batch, accumulate, samples } = settings;
		const size = latentSize(model, settings);
		checkTimesteps(settings, model.noiseSchedule.trainTimesteps);
		const classes = settings.classes ? [...new Set(set.pictures.map(({ className }) => className!))].sort() : null;
		const frames = (classes ?? [null]).map((className) =>
			frameWords(textEncoder.tokenizer, vectors, {
				prefix: settings.prefix,
				suffix: settings.suffix,
				classPosition: settings.classPosition,
				...(className !== null && { className }),
			}),
		);
		const count = frames.length;
		const tokens = await initialTokens(model, settings, count);
		const sparse = count > 1 && settings.adam === "rows";
		const state = await TokenState.create(device, [count, prompts, vectors, textEncoder.width], tokens, {
			classes: count,
			rows: sparse ? Math.min(count, batch * accumulate) : null,
			accumulate,
		});
		const shape: LearningShape = {
			batch,
			samples,
			encodedRows: Math.min(count, batch),
			latents: [size[1], size[0], denoiser.latentChannels],
			orthogonal: settings.orthogonal,
			randomness: "seeded",
			scalingFactor: autoencoder.scale,
			recompute: settings.recompute,
		};
		const moments = await MomentCache.create(device, autoencoder, set, signal);
		const program = await compileLearningStep(device, { textEncoder, denoiser }, state, shape, signal);
		return new Learner(model, set, settings, classes, frames, state, shape, program, moments, new Int32Array(count));
	}

	/** Steps taken so far. */
	get step(): number {
		return this.taken;
	}

	/** Bytes that the device needs for the steps, the picture encoder beside them and whatever else it holds. */
	get plannedBytes(): number {
		const { weights, state, arena, fixed } = this.model.device.memory;
		return weights + state + arena + fixed;
	}

	/** Takes the next step. @throws DivergenceError when the loss is not finite */
	async next(signal?: AbortSignal): Promise<LearnStep> {
		const started = performance.now();
		const { settings } = this;
		const { batch, accumulate } = settings;
		const step = this.taken + 1;
		const slots = Array.from({ length: batch * accumulate }, (_, slot) => this.slot(step, slot));
		const rows = this.stepRows(slots);
		const learningRate = learningRateAt(step, settings);
		const totals = { loss: 0, error: 0, orthogonal: 0 };
		let gradientNorm = 0;
		for (let run = 0; run < accumulate; run++) {
			// After its first run a step is taken to its end, so that what is saved is always that of a whole step.
			const stoppable = run === 0 ? signal : undefined;
			const own = slots.slice(run * batch, (run + 1) * batch);
			const inputs = {
				...(await this.runInputs(step, run * batch, own, rows, stoppable)),
				...this.state.inputs(
					rows.map((row) => this.nextClassStep(step, row, slots)),
					run,
					{
						lr: learningRate,
						clip: settings.maxGradientNorm,
						beta1: settings.beta1,
						beta2: settings.beta2,
						eps: settings.eps,
						weightDecay: settings.weightDecay,
					},
				),
			};
			const result = await this.program.run(inputs, stoppable ? { signal: stoppable } : {});
			const error = Array.from(result.errors).reduce((sum, value) => sum + value, 0) / batch;
			if (!Number.isFinite(result.loss[0]!)) throw new DivergenceError(step, badTimesteps(own, result.errors));
			totals.loss += result.loss[0]! / accumulate;
			totals.error += error / accumulate;
			totals.orthogonal += result.orthogonal[0]! / accumulate;
			gradientNorm = result.gradientNorm[0]!;
		}
		if (!Number.isFinite(gradientNorm))
			throw new DivergenceError(
				step,
				slots.map(({ timestep }) => timestep),
			);
		this.taken = step;
		for (const row of new Set(slots.map(({ classIndex }) => classIndex))) this.classSteps[row]!++;
		return {
			step,
			...totals,
			gradientNorm,
			learningRate,
			timesteps: slots.map(({ timestep }) => timestep),
			pictures: slots.map(({ picture }) => picture),
			seconds: (performance.now() - started) / 1000,
		};
	}

	/** A copy of everything that learning changes. */
	async snapshot(): Promise<LearnerState> {
		const [expAvg, expAvgSq] = this.state.moments;
		const copy = async (tensor: typeof expAvg) => Float32Array.from(await tensor.read());
		return {
			step: this.taken,
			tokens: await copy(this.state.tokens),
			expAvg: await copy(expAvg),
			expAvgSq: await copy(expAvgSq),
			classSteps: this.classSteps.slice(),
		};
	}

	/** Goes on from a snapshot: the steps that follow are the same, bit for bit on the CPU, as if it had never stopped. */
	async restore(snapshot: LearnerState): Promise<void> {
		if (snapshot.tokens.length !== this.state.tokens.size || snapshot.classSteps.length !== this.classSteps.length)
			throw new ArgumentError(
				`a checkpoint of ${snapshot.tokens.length} token numbers and ${snapshot.classSteps.length} classes does not fit this run's ` +
					`[${this.state.tokens.shape.join(", ")}]`,
			);
		await this.state.tokens.write(snapshot.tokens);
		await this.state.moments[0].write(snapshot.expAvg);
		await this.state.moments[1].write(snapshot.expAvgSq);
		this.classSteps.set(snapshot.classSteps);
		this.taken = snapshot.step;
	}

	/** What has been learned so far. */
	async distribution(): Promise<PromptDistribution> {
		const { prefix, suffix, classPosition } = this.settings;
		return PromptDistribution.of({
			tokens: Float32Array.from(await this.state.tokens.read()),
			shape: this.state.tokens.shape as [number, number, number, number],
			classes: this.classes,
			words: { prefix, suffix, classPosition },
			baseModel: this.model.identity,
			settings: { ...this.settings, stepsTaken: this.taken },
		});
	}

	dispose(): void {
		this.program.dispose();
		this.moments.dispose();
		this.state.dispose();
	}

	[Symbol.dispose](): void {
		this.dispose();
	}

	/** Which picture stands at a place of a step, cut how, at which timestep: decided by the seed and the place alone. */
	private slot(step: number, slot: number): Slot {
		const { seed, batch, accumulate } = this.settings;
		const { pictures } = this.set;
		const place = (step - 1) * batch * accumulate + slot;
		const epoch = Math.floor(place / pictures.length);
		const picture = this.order(epoch)[place % pictures.length]!;
		const { augmentations, className } = pictures[picture]!;
		const { trainTimesteps } = this.model.noiseSchedule;
		return {
			picture,
			augmentation: Math.floor(uniform(seed, "augmentation", step, slot) * augmentations.length),
			timestep: drawTimestep(this.settings, trainTimesteps, uniform(seed, "timestep", step, slot)),
			classIndex: this.classes ? this.classes.indexOf(className!) : 0,
		};
	}

	private lastOrder: { epoch: number; order: readonly number[] } | null = null;

	private order(epoch: number): readonly number[] {
		if (this.lastOrder?.epoch !== epoch)
			this.lastOrder = { epoch, order: shuffledOrder(this.settings.seed, epoch, this.set.pictures.length) };
		return this.lastOrder.order;
	}

	/** Classes that the step may move, in the order of its rows. */
	private stepRows(slots: readonly Slot[]): number[] {
		if (!this.state.isSparse) return [0];
		return distinct(
			slots.map(({ classIndex }) => classIndex),
			this.state.rows,
			this.classSteps.length,
		);
	}

	/** Adam's count for a row; null for a class that fills a row up. All rows together count the run's steps. */
	private nextClassStep(step: number, row: number, slots: readonly Slot[]): number | null {
		if (!this.state.isSparse) return step;
		return slots.some(({ classIndex }) => classIndex === row) ? this.classSteps[row]! + 1 : null;
	}

	private async runInputs(
		step: number,
		from: number,
		slots: readonly Slot[],
		rows: readonly number[],
		signal?: AbortSignal,
	): Promise<Record<string, InputData>> {
		const { seed, samples, prompts, snrGamma, snrWeighting, orthogonalWeight, noiseOffset } = this.settings;
		const { batch } = this.shape;
		const perPicture = this.shape.latents.reduce((a, b) => a * b) * 2;
		const moments = new Float32Array(batch * perPicture);
		for (const [i, { picture, augmentation }] of slots.entries())
			moments.set(await this.moments.get(picture, augmentation, signal), i * perPicture);
		const timesteps = slots.map(({ timestep }) => timestep);
		const weighting = snrGamma === null ? null : { gamma: snrGamma, kind: snrWeighting };
		const encoded = distinct(
			slots.map(({ classIndex }) => classIndex),
			this.shape.encodedRows,
			this.classSteps.length,
		);
		const frames = packFrames(
			encoded.map((row) => this.frames[row]!),
			prompts,
		);
		return {
			moments,
			timesteps,
			scalars: timestepScalars(this.model.noiseSchedule, timesteps, weighting),
			latentKeys: randomKeys(seed, "latents", step, from, batch),
			noiseKeys: randomKeys(seed, "noise", step, from, batch),
			offsetKeys: randomKeys(seed, "noiseOffset", step, from, batch),
			omegaKeys: randomKeys(seed, "omega", step, from * samples, batch * samples),
			noiseOffset,
			orthogonalWeight,
			...frameData(frames),
			...(this.classes && this.classes.length > 1 && this.classInputs(slots, encoded, rows)),
		};
	}

	private classInputs(slots: readonly Slot[], encoded: readonly number[], rows: readonly number[]) {
		const { batch } = this.shape;
		return {
			...(this.state.isSparse && { rows }),
			// A class that fills up a run need not be among the step's rows; it counts nothing, so any row will do.
			slots: encoded.map((row) => (this.state.isSparse ? Math.max(0, rows.indexOf(row)) : row)),
			rowWeights: encoded.map((row) => slots.filter(({ classIndex }) => classIndex === row).length / batch),
			pictureRow: slots.map(({ classIndex }) => encoded.indexOf(classIndex)),
		};
	}
}

function badTimesteps(slots: readonly Slot[], errors: ArrayLike<number>): number[] {
	const bad = slots.filter((_, i) => !Number.isFinite(errors[i]!));
	return (bad.length > 0 ? bad : slots).map(({ timestep }) => timestep);
}

/** Latent width and height of the settings' size. */
function latentSize(model: FrozenModel, settings: LearnSettings): [number, number] {
	checkSize(model, settings.size);
	return settings.size.map((side) => side / model.autoencoder.factor) as [number, number];
}

/** N(0, deviation²), on top of the embeddings of words where there are some; [C, K, M, d]. */
async function initialTokens(model: FrozenModel, settings: LearnSettings, classes: number): Promise<Float32Array> {
	const { prompts, vectors, seed, initialWords } = settings;
	const { width } = model.textEncoder;
	const words = initialWords === null ? null : await wordEmbeddings(model.device, model, initialWords, vectors);
	const deviation = settings.initialDeviation ?? (words ? DEFAULT_WORD_DEVIATION : DEFAULT_DEVIATION);
	const size = vectors * width;
	const tokens = new Float32Array(classes * prompts * size);
	for (let prompt = 0; prompt < classes * prompts; prompt++) {
		const noise = normals(seed, "tokens", 0, prompt, size);
		for (let i = 0; i < size; i++) tokens[prompt * size + i] = (words?.[i] ?? 0) + deviation * noise[i]!;
	}
	return tokens;
}

/** Embeddings of a text's tokens, [M, d]: repeated where there are fewer than M, cut where there are more. */
export async function wordEmbeddings(
	device: Device,
	model: Pick<FrozenModel, "textEncoder">,
	text: string,
	vectors: number,
): Promise<Float32Array> {
	const { textEncoder } = model;
	const { tokenizer, width, length } = textEncoder;
	const ids = tokenizer.tokenize(text);
	if (ids.length === 0) throw new ArgumentError(`"${text}" has no tokens to start from`);
	if (vectors > length) throw new ArgumentError(`${vectors} vectors do not fit the text encoder's ${length} positions`);
	const row = new Int32Array(length).fill(tokenizer.padId);
	for (let i = 0; i < vectors; i++) row[i] = ids[i % ids.length]!;
	const program = await device.compile((graph) => ({
		embeddings: textEncoder.embed(graph.input("ids", [1, length], "i32")),
	}));
	try {
		const { embeddings } = await program.run({ ids: row });
		return Float32Array.from(embeddings.slice(0, vectors * width));
	} finally {
		program.dispose();
	}
}
