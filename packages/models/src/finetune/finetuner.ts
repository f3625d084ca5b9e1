// Fine-tuning, step by step: which pictures, prompts, timesteps and random numbers a step has, and the program that takes it.
import {
	type Augmentation,
	checkSize,
	checkTimesteps,
	DivergenceError,
	drawTimestep,
	type InputData,
	learningRateAt,
	lossScale,
	MomentCache,
	methodKeys,
	type PictureSet,
	type Program,
	PromptEncoder,
	type Purpose,
	type StepMetrics,
	shuffledOrder,
	type Tensor,
	timestepScalars,
	uniformAt,
	zoomedArea,
} from "@dreamdist/core";
import { asDenoiser, asTextEncoder } from "../pipeline/networks.js";
import type { Pipeline } from "../pipeline/pipeline.js";
import { ExtendedTokenizer } from "./extended-tokenizer.js";
import type { ReadPart, TuningMethod } from "./method.js";
import { isChanged, liveNetwork, type ModelChange } from "./model-change.js";
import type { FinetuneSettings } from "./settings.js";
import { type StepOutputs, writeFinetuneStep } from "./step.js";
import { TrainedParts } from "./trained-parts.js";

/** What one step did. */
export interface FinetuneStep extends StepMetrics {
	/** The error on the prior's pictures, before its weight; absent without a prior. */
	readonly prior?: number;
}

/** Settings with the size filled in. */
export type SizedSettings<S extends FinetuneSettings = FinetuneSettings> = S & {
	readonly size: readonly [width: number, height: number];
};

/** Everything that training changes, tensor by tensor; what a checkpoint holds. */
export interface FinetuneState {
	/** Steps taken. */
	readonly step: number;
	readonly tensors: ReadonlyMap<string, { readonly shape: readonly number[]; read(): Promise<Float32Array> }>;
	close(): Promise<void>;
}

/** One picture of a run of the program. */
interface Row {
	readonly moments: Float32Array;
	readonly timestep: number;
	readonly prompt: string;
	/** Its part of the loss. */
	readonly weight: number;
	/** How its pixels' errors add up, [h, w]; null: to their mean. */
	readonly pixels: Float32Array | null;
}

const LESS_MEMORY = [
	"computing blocks again in backward (--recompute blocks)",
	"smaller pictures (--size)",
	"fewer at once (--batch 1, --accumulate)",
	"a method that trains less (textual-inversion, dreambooth-lora, custom-diffusion)",
];

export interface PriorSet {
	readonly set: PictureSet;
	readonly prompt: string;
	/** Weight of its error. */
	readonly weight: number;
}

interface Compiled {
	readonly program: Program<StepOutputs>;
	readonly words: ExtendedTokenizer;
	/** V: columns of the placement. */
	readonly vectors: number;
	/** Whether prompts are encoded by the step itself. */
	readonly encodesPrompts: boolean;
}

/** A run of fine-tuning on a device. Steps must be taken in their order. */
export class Finetuner implements Disposable {
	private taken = 0;
	/** Features of prompts that training does not change. */
	private readonly features = new Map<string, Float32Array>();

	private constructor(
		private readonly pipe: Pipeline,
		private readonly method: TuningMethod,
		readonly settings: SizedSettings,
		private readonly set: PictureSet,
		private readonly prior: PriorSet | null,
		private readonly parts: TrainedParts,
		private readonly compiled: Compiled,
		private readonly moments: MomentCache,
		private readonly priorMoments: MomentCache | null,
		private readonly encoder: PromptEncoder,
	) {}

	/** @throws ArgumentError for settings that do not fit the model; a refusal with its numbers where it needs too much memory */
	static async create(
		pipe: Pipeline,
		method: TuningMethod,
		settings: SizedSettings,
		set: PictureSet,
		prior: PriorSet | null,
		signal?: AbortSignal,
	): Promise<Finetuner> {
		const { device, autoencoder, components, denoiser: frozen } = pipe;
		checkSize(pipe, settings.size);
		checkTimesteps(settings, pipe.noiseSchedule.trainTimesteps);
		const [width, height] = settings.size.map((side) => side / autoencoder.factor) as [number, number];
		const parts = await TrainedParts.create(device, method.parts, settings.accumulate);
		const encoder = new PromptEncoder(device, pipe.textEncoder, signal);
		const moments: MomentCache[] = [];
		try {
			const change = method.change(parts.tensors);
			const { tokenizer } = pipe.textEncoder;
			const textEncoder = asTextEncoder(liveNetwork(components.text, change.text), tokenizer);
			const encodesPrompts = isChanged(change.text) || change.words.length > 0;
			const words = change.words.map(({ vectors }) => vectors);
			moments.push(await MomentCache.create(device, autoencoder, set, signal));
			if (prior) moments.push(await MomentCache.create(device, autoencoder, prior.set, signal));
			const program = await device.compile(
				(graph) =>
					writeFinetuneStep(
						graph,
						{ textEncoder, denoiser: asDenoiser(liveNetwork(components.unet, change.unet)), autoencoder },
						parts,
						words,
						{
							pictures: settings.batch * (prior ? 2 : 1),
							latents: [height, width, frozen.latentChannels],
							encodesPrompts,
							lossScale: lossScale(device.activations, settings.batch * height * width * frozen.latentChannels),
							masked: method.zoom ?? false,
							recompute: settings.recompute,
						},
					),
				{ name: "fine-tuning step", lessMemory: LESS_MEMORY, ...(signal && { signal }) },
			);
			const compiled = { program, words: extended(pipe, change), vectors: rowsOf(words), encodesPrompts };
			const [own, others = null] = moments as [MomentCache, MomentCache?];
			return new Finetuner(pipe, method, settings, set, prior, parts, compiled, own, others, encoder);
		} catch (error) {
			for (const each of moments) each.dispose();
			encoder.dispose();
			parts.dispose();
			throw error;
		}
	}

	/** Steps taken so far. */
	get step(): number {
		return this.taken;
	}

	/** Numbers that are trained. */
	get parameters(): number {
		return this.parts.parameters;
	}

	/** Bytes that the device needs for the steps and whatever else it holds. */
	get plannedBytes(): number {
		const { weights, state, arena, fixed } = this.pipe.device.memory;
		return weights + state + arena + fixed;
	}

	/** What has been trained, as it is now and will be. */
	get change(): ModelChange<Tensor> {
		return this.method.change(this.parts.tensors);
	}

	/** Reads what has been trained so far. */
	readonly read: ReadPart = async (name) => Float32Array.from(await this.parts.tensors.get(name)!.read());

	/** Takes the next step. @throws DivergenceError when the loss is not finite */
	async next(signal?: AbortSignal): Promise<FinetuneStep> {
		const started = performance.now();
		const { batch, accumulate } = this.settings;
		const step = this.taken + 1;
		const learningRate = learningRateAt(step, this.settings);
		const totals = { loss: 0, error: 0, prior: 0 };
		const timesteps: number[] = [];
		let gradientNorm = 0;
		for (let run = 0; run < accumulate; run++) {
			// After its first run a step is taken to its end, so that what is saved is always that of a whole step.
			const stoppable = run === 0 ? signal : undefined;
			const from = run * batch;
			const rows = [...(await this.instances(step, from, stoppable)), ...(await this.priors(step, from, stoppable))];
			const result = await this.compiled.program.run(
				{
					...(await this.rowInputs(rows)),
					...this.keys(step, from),
					noiseOffset: this.settings.noiseOffset,
					...this.parts.inputs(step, run, learningRate, this.settings),
				},
				stoppable ? { signal: stoppable } : {},
			);
			const own = rows.map(({ timestep }) => timestep);
			if (!Number.isFinite(result.loss[0]!)) throw new DivergenceError(step, own);
			timesteps.push(...own);
			const meanOf = (from: number) => average(Array.from(result.errors).slice(from, from + batch));
			totals.loss += result.loss[0]! / accumulate;
			totals.error += meanOf(0) / accumulate;
			if (this.prior) totals.prior += meanOf(batch) / accumulate;
			gradientNorm = result.gradientNorm[0]!;
		}
		if (!Number.isFinite(gradientNorm)) throw new DivergenceError(step, timesteps);
		this.taken = step;
		const { prior, ...rest } = totals;
		const seconds = (performance.now() - started) / 1000;
		return { step, ...rest, ...(this.prior && { prior }), gradientNorm, learningRate, timesteps, seconds };
	}

	/** Pictures to learn from, in places `from` … of a step. */
	private async instances(step: number, from: number, signal?: AbortSignal): Promise<Row[]> {
		const { seed, batch, accumulate } = this.settings;
		const rows: Row[] = [];
		for (let slot = from; slot < from + batch; slot++) {
			const picture = this.picture(this.set, "order", (step - 1) * batch * accumulate + slot);
			const ways = this.set.pictures[picture]!.augmentations;
			const augmentation = chooseAugmentation(ways, uniformAt(seed, "augmentation", step, slot));
			const way = ways[augmentation]!;
			rows.push({
				moments: await this.moments.get(picture, augmentation, signal),
				timestep: this.timestep(step, slot),
				prompt: this.method.instancePrompt(uniformAt(seed, "template", step, slot), way.zoom ?? 1),
				weight: 1 / batch,
				pixels: this.method.zoom ? coveredPixels(way, this.settings.size, this.pipe.autoencoder.factor) : null,
			});
		}
		return rows;
	}

	/** As many pictures of the prior; none where there is none. */
	private async priors(step: number, from: number, signal?: AbortSignal): Promise<Row[]> {
		const { prior, priorMoments } = this;
		if (!prior || !priorMoments) return [];
		const { seed, batch, accumulate } = this.settings;
		const rows: Row[] = [];
		for (let slot = from; slot < from + batch; slot++) {
			const picture = this.picture(prior.set, "priorOrder", (step - 1) * batch * accumulate + slot);
			const place = this.priorPlace(slot);
			const ways = prior.set.pictures[picture]!.augmentations.length;
			const augmentation = Math.floor(uniformAt(seed, "augmentation", step, place) * ways);
			rows.push({
				moments: await priorMoments.get(picture, augmentation, signal),
				timestep: this.timestep(step, place),
				prompt: prior.prompt,
				weight: prior.weight / batch,
				pixels: null,
			});
		}
		return rows;
	}

	/** Places of a step's prior come after those of its pictures. */
	private priorPlace(slot: number): number {
		const { batch, accumulate } = this.settings;
		return batch * accumulate + slot;
	}

	private timestep(step: number, place: number): number {
		const uniform = uniformAt(this.settings.seed, "timestep", step, place);
		return drawTimestep(this.settings, this.pipe.noiseSchedule.trainTimesteps, uniform);
	}

	private readonly orders = new Map<Purpose, { epoch: number; order: readonly number[] }>();

	private picture(set: PictureSet, purpose: Purpose, place: number): number {
		const count = set.pictures.length;
		const epoch = Math.floor(place / count);
		let known = this.orders.get(purpose);
		if (known?.epoch !== epoch) {
			known = { epoch, order: shuffledOrder(this.settings.seed, epoch, count, purpose) };
			this.orders.set(purpose, known);
		}
		return known.order[place % count]!;
	}

	private keys(step: number, from: number): Record<string, InputData> {
		const { seed, batch } = this.settings;
		const keys = (purpose: Purpose) => [
			...methodKeys(seed, purpose, step, from, batch),
			...(this.prior ? methodKeys(seed, purpose, step, this.priorPlace(from), batch) : []),
		];
		return { latentKeys: keys("latents"), noiseKeys: keys("noise"), offsetKeys: keys("noiseOffset") };
	}

	private async rowInputs(rows: readonly Row[]): Promise<Record<string, InputData>> {
		const { snrGamma } = this.settings;
		const timesteps = rows.map(({ timestep }) => timestep);
		const weighting = snrGamma === null ? null : { gamma: snrGamma };
		return {
			moments: joined(rows.map(({ moments }) => moments)),
			timesteps,
			scalars: timestepScalars(this.pipe.noiseSchedule, timesteps, weighting),
			pictureWeights: rows.map(({ weight }) => weight),
			...(this.method.zoom && { pixelWeights: joined(rows.map(({ pixels }) => pixels ?? this.evenPixels())) }),
			...(this.compiled.encodesPrompts
				? this.promptInputs(rows)
				: { contexts: joined(await Promise.all(rows.map(({ prompt }) => this.featuresOf(prompt)))) }),
		};
	}

	private evenPixels(): Float32Array {
		const { autoencoder, denoiser } = this.pipe;
		const pixels = this.settings.size.reduce((product, side) => product * (side / autoencoder.factor), 1);
		return new Float32Array(pixels).fill(1 / (pixels * denoiser.latentChannels));
	}

	/** Words by their ids, and where learned vectors stand among them. */
	private promptInputs(rows: readonly Row[]): Record<string, InputData> {
		const { words, vectors } = this.compiled;
		const { length, padId } = words;
		const first = words.vocabularySize - vectors;
		const ids = new Int32Array(rows.length * length);
		const placement = new Float32Array(rows.length * length * vectors);
		rows.forEach(({ prompt }, row) => {
			words.encode(prompt).ids.forEach((id, at) => {
				const place = row * length + at;
				ids[place] = id < first ? id : padId;
				if (id >= first) placement[place * vectors + (id - first)] = 1;
			});
		});
		return { ids, ...(vectors > 0 && { placement }) };
	}

	private async featuresOf(prompt: string): Promise<Float32Array> {
		let features = this.features.get(prompt);
		if (!features) {
			features = await this.encoder.encodeText(prompt);
			this.features.set(prompt, features);
		}
		return features;
	}

	/** Everything that training changes, read when it is asked for. */
	snapshot(): FinetuneState {
		const tensors = new Map(
			[...this.parts.state].map(([name, tensor]) => {
				const read = async () => Float32Array.from(await tensor.read());
				return [name, { shape: tensor.shape, read }];
			}),
		);
		return { step: this.taken, tensors, close: async () => undefined };
	}

	/** Goes on from a state: the steps that follow are the same, bit for bit on the CPU, as if it had never stopped. */
	async restore(state: FinetuneState): Promise<void> {
		for (const [name, tensor] of this.parts.state) await tensor.write(await state.tensors.get(name)!.read());
		this.taken = state.step;
	}

	dispose(): void {
		this.compiled.program.dispose();
		this.moments.dispose();
		this.priorMoments?.dispose();
		this.encoder.dispose();
		this.parts.dispose();
	}

	[Symbol.dispose](): void {
		this.dispose();
	}
}

/** Of zoomed pictures two of three are smaller, one is larger. */
const SMALLER_SHARE = 0.66;

function chooseAugmentation(ways: readonly Augmentation[], random: number): number {
	const smaller = ways.filter(({ zoom }) => zoom !== undefined && zoom <= 1).length;
	if (smaller === 0 || smaller === ways.length) return Math.floor(random * ways.length);
	if (random < SMALLER_SHARE) return Math.floor((random / SMALLER_SHARE) * smaller);
	return smaller + Math.floor(((random - SMALLER_SHARE) / (1 - SMALLER_SHARE)) * (ways.length - smaller));
}

/**
 * 1 / area on the latents that a zoomed picture covers, but for its rim; 0 elsewhere. As in the public implementation the error is divided
 * by the area alone, not by the channels too.
 */
export function coveredPixels(
	way: Augmentation,
	size: readonly [width: number, height: number],
	factor: number,
): Float32Array {
	const [width, height] = size.map((side) => side / factor) as [number, number];
	const area = zoomedArea(way, size);
	const isWhole = (way.zoom ?? 1) > 1;
	const span = (start: number, length: number, end: number): [number, number] => {
		if (isWhole) return [0, end];
		const first = Math.floor(start / factor) + 1;
		const last = Math.floor((start + length) / factor) - 1;
		// A picture of a few latents is all rim.
		return last > first ? [first, last] : [first - 1, Math.min(end, first + 1)];
	};
	// Mirrored as a whole, with the grey around it.
	const left = way.flipped ? size[0] - area.left - area.width : area.left;
	const [x0, x1] = span(left, area.width, width);
	const [y0, y1] = span(area.top, area.height, height);
	const pixels = new Float32Array(width * height);
	for (let y = y0; y < y1; y++) pixels.fill(1 / ((x1 - x0) * (y1 - y0)), y * width + x0, y * width + x1);
	return pixels;
}

function extended({ textEncoder: { tokenizer } }: Pipeline, { words }: ModelChange<Tensor>): ExtendedTokenizer {
	return new ExtendedTokenizer(
		tokenizer,
		words.map(({ token, vectors }) => ({ token, vectors: vectors.shape[0]! })),
	);
}

const rowsOf = (tensors: readonly Tensor[]) => tensors.reduce((sum, { shape }) => sum + shape[0]!, 0);

const average = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

function joined(parts: readonly Float32Array[]): Float32Array {
	const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
	let at = 0;
	for (const part of parts) {
		all.set(part, at);
		at += part.length;
	}
	return all;
}
