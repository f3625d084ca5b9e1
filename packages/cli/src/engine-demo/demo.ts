// The demo: trains a small network on the engine until its loss is where it should be, and leaves a run folder.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import {
	adamw,
	contactSheet,
	createImage,
	crossEntropy,
	type Device,
	gradients,
	type ImageU8,
	openDevice,
	type ProgramMemory,
	resizeImage,
	writeFileAtomic,
	writePng,
} from "@dreamdist/core";
import { classify, createWeights, imagesShape, parameters, type Weights } from "./network.js";
import { PhiloxSource } from "./random.js";
import { CLASSES, drawShapes, type ShapeBatch, SIDE } from "./shapes.js";

const BATCH = 32;
const TEST_COUNT = 256;
const LEARNING_RATE = 0.01;
/** The loss that is reported is the mean over this many steps. */
const WINDOW = 20;
const ZOOM = 4;

export interface DemoSettings {
	device: string;
	/** Products in tf32; CUDA devices only. Default false. */
	tf32?: boolean | undefined;
	/** The run folder. */
	folder: string;
	steps: number;
	/** The mean cross-entropy over the last steps that the training has to reach. Guessing gives ln 4 = 1.386. */
	targetLoss: number;
	seed: number;
	signal: AbortSignal;
	/** Told what happens. */
	notice(text: string): void;
}

export interface DemoResult {
	device: string;
	steps: number;
	/** Mean over the last steps. */
	loss: number;
	targetLoss: number;
	reached: boolean;
	/** Share of new pictures that are told right. */
	accuracy: number;
	millisecondsPerStep: number;
	kernelCalls: number;
	memory: ProgramMemory;
	folder: string;
}

interface Training {
	/** One per step. */
	losses: number[];
	millisecondsPerStep: number;
	kernelCalls: number;
	memory: ProgramMemory;
	/** The program as text. */
	program: string;
}

function meanOfLast(values: readonly number[]): number {
	const last = values.slice(-WINDOW);
	return last.reduce((sum, value) => sum + value, 0) / last.length;
}

async function train(device: Device, weights: Weights, settings: DemoSettings): Promise<Training> {
	const { steps, seed, signal, notice } = settings;
	const trained = parameters(weights);
	const optimizer = await adamw(trained);
	const program = await device.compile(
		(graph) => {
			const scores = classify(graph, graph.input("images", imagesShape(BATCH)), weights);
			const loss = crossEntropy(scores, graph.input("labels", [BATCH], "i32"));
			const wrt = trained.map(({ tensor }) => graph.state(tensor));
			optimizer.update(graph, gradients(loss, wrt));
			return { loss };
		},
		{ name: "demo", signal },
	);
	notice(`\n${program}\n`);
	const random = new PhiloxSource(seed, 1);
	const losses: number[] = [];
	let milliseconds = 0;
	for (let step = 1; step <= steps; step++) {
		const { images, labels } = drawShapes(BATCH, random);
		const start = performance.now();
		const { loss } = await program.run({ images, labels, ...optimizer.inputs(step, LEARNING_RATE) }, { signal });
		milliseconds += performance.now() - start;
		losses.push(loss[0]!);
		if (step % 50 === 0 || step === steps) notice(`step ${step}: loss ${meanOfLast(losses).toFixed(4)}`);
	}
	const { kernelCalls, memory } = program;
	return { losses, millisecondsPerStep: milliseconds / steps, kernelCalls, memory, program: program.toString() };
}

/** New pictures, and the class that the network takes each for. */
async function predict(device: Device, weights: Weights, seed: number): Promise<ShapeBatch & { predicted: number[] }> {
	const batch = drawShapes(TEST_COUNT, new PhiloxSource(seed, 2));
	const program = await device.compile((graph) => ({
		scores: classify(graph, graph.input("images", imagesShape(TEST_COUNT)), weights),
	}));
	const { scores } = await program.run({ images: batch.images });
	const predicted = Array.from(batch.labels, (_, i) => {
		const row = Array.from(scores.subarray(i * CLASSES.length, (i + 1) * CLASSES.length));
		return row.indexOf(Math.max(...row));
	});
	return { ...batch, predicted };
}

/** A picture of a batch as the viewer expects it: grey, enlarged. */
function toImage({ images }: ShapeBatch, index: number): ImageU8 {
	const image = createImage(SIDE, SIDE);
	for (let pixel = 0; pixel < SIDE * SIDE; pixel++) {
		const grey = Math.round((images[index * SIDE * SIDE + pixel]! + 1) * 127.5);
		image.data.fill(Math.min(255, Math.max(0, grey)), pixel * 3, pixel * 3 + 3);
	}
	return resizeImage(image, ZOOM * SIDE, ZOOM * SIDE);
}

/** A row for each answer of the network, with the first pictures that got it. */
async function drawPredictions(batch: ShapeBatch & { predicted: number[] }): Promise<ImageU8> {
	const rows = CLASSES.map((_, answer) =>
		batch.predicted.flatMap((predicted, i) => (predicted === answer ? [i] : [])).slice(0, 8),
	);
	const sheet = await contactSheet(
		rows.map((indices) => indices.map((index) => toImage(batch, index))),
		{ rowLabels: CLASSES },
	);
	return sheet.image;
}

/**
 * Trains the network and writes the run folder: run.json, metrics.jsonl (a line a step), program.txt and a sheet of pictures
 * with the network's answers in samples/.
 */
export async function runDemo(settings: DemoSettings): Promise<DemoResult> {
	const { folder, steps, targetLoss, seed, notice } = settings;
	const samples = join(folder, "samples");
	await mkdir(samples, { recursive: true });
	const device = await openDevice(settings.device, { tf32: settings.tf32 ?? false });
	try {
		notice(
			`Training a network that tells ${CLASSES.join(", ")} apart, on ${device}, until its loss is below ${targetLoss}.`,
		);
		const weights = await createWeights(device, new PhiloxSource(seed, 0));
		const { losses, program, ...training } = await train(device, weights, settings);
		const batch = await predict(device, weights, seed);
		const right = batch.predicted.filter((answer, i) => answer === batch.labels[i]).length;
		const loss = meanOfLast(losses);
		const reached = loss <= targetLoss;
		const accuracy = right / TEST_COUNT;
		const result = { device: `${device}`, steps, loss, targetLoss, reached, accuracy, ...training, folder };

		const lines = losses.map((value, i) => `${JSON.stringify({ step: i + 1, loss: value })}\n`);
		await writeFileAtomic(join(folder, "metrics.jsonl"), lines.join(""));
		await writeFileAtomic(join(folder, "program.txt"), `${program}\n`);
		await writePng(join(samples, `step-${String(steps).padStart(6, "0")}.png`), await drawPredictions(batch));
		// Last: a folder with a run.json is complete.
		await writeFileAtomic(
			join(folder, "run.json"),
			`${JSON.stringify({ command: "demo", seed, ...result }, null, "\t")}\n`,
		);
		return result;
	} finally {
		device.dispose();
	}
}
