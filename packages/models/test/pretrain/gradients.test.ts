// Gradients of every weight: each against the float64 interpreter, and those against finite differences of the loss.
import {
	type Device,
	Graph,
	gradients,
	type HostArray,
	interpret,
	mean,
	openDevice,
	type Shape,
	square,
	sub,
	type Tensor,
	trainableWeights,
	type Value,
} from "@dreamdist/core";
import { readUNetConfig, unet, unetWeights } from "@dreamdist/models";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { initialWeight } from "../../src/pretrain/initial-weights.js";
import { drawScenes, heldOut } from "../../src/pretrain/scenes.js";
import type { Stage, StageContext } from "../../src/pretrain/stage.js";
import { AutoencoderStage } from "../../src/pretrain/stages/autoencoder.js";
import { ClassifierStage } from "../../src/pretrain/stages/classifier.js";
import { ClipStage } from "../../src/pretrain/stages/clip.js";
import { hashedNumber } from "../../src/weights/formula.js";
import { temporaryFolder } from "../tiny-model.js";
import { tinyRecipe } from "./tiny-recipe.js";

const BATCH = 2;
const { folder, remove } = temporaryFolder();
let device: Device;
beforeAll(async () => {
	device = await openDevice("cpu");
});
afterAll(() => {
	device.dispose();
	remove();
});

type Write = (graph: Graph, tensors: ReadonlyMap<string, Tensor>) => Value;
type Numbers = Map<Tensor, Float64Array>;

async function checkGradients(
	shapes: ReadonlyMap<string, Shape>,
	write: Write,
	inputs: Record<string, ArrayLike<number>>,
) {
	const tensors = new Map<string, Tensor>();
	const numbers: Numbers = new Map();
	let index = 0;
	for (const [name, shape] of shapes) {
		// Off the special values that weights start from: ones, zeros and small ends of branches.
		const data = initialWeight(name, shape, index, 5).map((v, i) => v + 0.1 * hashedNumber(i, index, 3));
		index++;
		const tensor = await device.tensor(shape, { name, data });
		tensors.set(name, tensor);
		numbers.set(tensor, Float64Array.from(data));
	}
	const trained = [...tensors.keys()].filter((name) => !/running_(mean|var)$/.test(name));

	const graph = new Graph();
	const loss = write(graph, tensors);
	const parameters = trained.map((name) => graph.state(tensors.get(name)!));
	const grads = gradients(loss, parameters);
	const interpreted = interpret([loss, ...grads], { inputs, state: (tensor) => numbers.get(tensor)! });

	// The engine against the interpreter, weight by weight.
	const program = await device.compile((own) => {
		const value = write(own, tensors);
		const own_grads = gradients(
			value,
			trained.map((name) => own.state(tensors.get(name)!)),
		);
		return Object.fromEntries([["loss", value], ...trained.map((name, i) => [name, own_grads[i]!])]) as Record<
			string,
			Value
		>;
	});
	const results = await program.run(inputs);
	let largest = 0;
	for (const grad of grads) largest = Math.max(largest, norm(interpreted.get(grad)!));
	trained.forEach((name, i) => {
		const exact = interpreted.get(grads[i]!)!;
		// A gradient that is zero in exact arithmetic (a bias before a normalisation) is only rounding.
		const bound = 2e-4 * norm(exact) + 1e-6 * largest;
		expect(distance(results[name]!, exact), `gradient of ${name}`).toBeLessThan(bound);
	});
	const value = interpreted.get(loss)![0]!;
	expect(Math.abs(results.loss![0]! - value)).toBeLessThan(1e-4 * Math.abs(value));

	// The interpreter against central differences of the loss, along random directions through some of the weights.
	const lossAt = (moved: Numbers) =>
		interpret([loss], { inputs, state: (tensor) => moved.get(tensor)! }).get(loss)![0]!;
	for (let group = 0; group < GROUPS; group++) {
		const own = trained.filter((_, i) => i % GROUPS === group);
		const directions = new Map(
			own.map((name, i) => [
				tensors.get(name)!,
				numbers.get(tensors.get(name)!)!.map((_, k) => hashedNumber(k, i, 11 + group)),
			]),
		);
		const along = (step: number) =>
			lossAt(
				new Map(
					[...numbers].map(([tensor, data]) => [
						tensor,
						data.map((v, k) => v + step * (directions.get(tensor)?.[k] ?? 0)),
					]),
				),
			);
		const difference = (along(STEP) - along(-STEP)) / (2 * STEP);
		let slope = 0;
		let size = 0;
		own.forEach((name) => {
			const grad = interpreted.get(grads[trained.indexOf(name)]!)!;
			directions.get(tensors.get(name)!)!.forEach((d, k) => {
				slope += d * grad[k]!;
				size += Math.abs(d * grad[k]!);
			});
		});
		expect(Math.abs(difference - slope), `slope along group ${group}: ${slope}`).toBeLessThan(2e-5 * size + 1e-9);
	}
	program.dispose();
	for (const tensor of tensors.values()) tensor.dispose();
}

const GROUPS = 3;
/** Small: a ReLU's kink lies under whole flat areas of a picture at once. */
const STEP = 1e-7;

const norm = (a: ArrayLike<number>) => Math.sqrt(Array.from(a).reduce((sum, v) => sum + v * v, 0));
const distance = (a: HostArray, b: Float64Array) => norm(b.map((v, i) => v - a[i]!));

describe("gradients of every weight", () => {
	const context = (): StageContext => ({ device, recipe: tinyRecipe(), folder, signal: undefined });
	const check = async (stage: Stage) => {
		const scenes = await drawScenes(heldOut(BATCH, stage.settings.data));
		const write: Write = (graph, tensors) => stage.writeLoss(graph, trainableWeights(graph, tensors), BATCH).loss;
		const given = stage.inputs(1, scenes) as Record<string, ArrayLike<number>>;
		// The stages make keys for the recipe's batch.
		const inputs = Object.fromEntries(
			Object.entries(given).map(([name, data]) => [
				name,
				name === "latentKeys" ? Array.from(data).slice(0, 4 * BATCH) : data,
			]),
		);
		await checkGradients(stage.shapes, write, inputs);
		stage.dispose();
	};

	test("classifier, batch norms in training included", () => check(new ClassifierStage(context())));
	test("autoencoder", () => check(new AutoencoderStage(context())));
	test("text and image encoders", async () => check(await ClipStage.create(context())));

	test("UNet", async () => {
		const config = readUNetConfig({ ...tinyRecipe().networks.unet, cross_attention_dim: 6 });
		const write: Write = (graph, tensors) => {
			const latents = graph.input("latents", [BATCH, 6, 4, 4]);
			const timesteps = graph.input("timesteps", [BATCH]);
			const context = graph.input("context", [BATCH, 5, 6]);
			const prediction = unet(trainableWeights(graph, tensors), config, { latents, timesteps, context });
			return mean(square(sub(prediction, graph.input("target", latents.shape))));
		};
		const numbers = (count: number, salt: number) =>
			Float64Array.from({ length: count }, (_, i) => 1.5 * hashedNumber(i, 1, salt));
		await checkGradients(unetWeights(config), write, {
			latents: Float32Array.from(numbers(BATCH * 96, 1)),
			timesteps: [731, 12],
			context: Float32Array.from(numbers(BATCH * 30, 2)),
			target: Float32Array.from(numbers(BATCH * 96, 3)),
		});
	});
});
