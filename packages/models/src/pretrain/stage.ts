// What a stage of full training is: networks, a loss, measurements, and files.
import type { Device, Graph, InputData, Shape, Weights } from "@dreamdist/core";
import type { InitialOverride } from "./initial-weights.js";
import type { Recipe, StageName, TrainingSettings } from "./recipe.js";
import type { SceneBatch } from "./scenes.js";
import type { WrittenLoss } from "./trained-weights.js";

/** What a stage is made with. */
export interface StageContext {
	readonly device: Device;
	readonly recipe: Recipe;
	/** The model folder: stages read what earlier ones wrote, and write their own networks. */
	readonly folder: string;
	readonly signal: AbortSignal | undefined;
	/** Threads that draw pictures; 0, the default, draws on the caller's. */
	readonly drawingThreads?: number;
	/** Told while scenes that are kept for all steps are made. */
	readonly onPool?: ((done: number, total: number) => void) | undefined;
}

/** Reads the weights that training holds on a device. */
export interface TrainedModel {
	/** A door to the averaged weights. */
	open(graph: Graph): Weights;
	/** The averaged numbers of one weight. */
	read(name: string): Promise<Float32Array>;
}

/** Figures of a measurement, and a grid of pictures to look at. */
export interface Evaluation {
	readonly figures: Readonly<Record<string, number>>;
	/** Writes a PNG. */
	writeSamples?(path: string): Promise<void>;
}

export interface Stage extends Disposable {
	readonly name: StageName;
	readonly settings: TrainingSettings;
	/** Every weight it trains. */
	readonly shapes: ReadonlyMap<string, Shape>;
	readonly constant?: InitialOverride;
	/** Writes the loss of a batch into a graph. */
	writeLoss(graph: Graph, weights: Weights, batch: number): WrittenLoss;
	/** The program inputs of a step, for the inputs that `writeLoss` declares. */
	inputs(step: number, scenes: SceneBatch): Record<string, InputData>;
	/** The same of what the stage keeps, without scenes of the step's own; null where it keeps none. */
	inputsOfPool?(step: number): Record<string, InputData> | null;
	/** Measures on held-out scenes. */
	evaluate(model: TrainedModel): Promise<Evaluation>;
	/** Writes the networks into the model folder. */
	save(model: TrainedModel): Promise<void>;
	dispose(): void;
}
