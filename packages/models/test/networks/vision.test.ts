// The image tower and the ResNet against numbers of the public reference code.
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import {
	add,
	crossEntropy,
	type Device,
	type Graph,
	gradients,
	type HostArray,
	mul,
	openDevice,
	openSafetensors,
	sgd,
	type Tensor,
	trainableWeights,
	transpose,
	type Value,
} from "@dreamdist/core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
	classifierWeights,
	clipVisionModel,
	imageEncoderWeights,
	readClipVisionConfig,
	readResnetClassifierConfig,
	resnetClassifier,
} from "../../src/index.js";

const folder = join(process.env.DD_SHARED ?? resolve(import.meta.dirname, "../../../../../shared"), "reference/vision");
const isPresent = existsSync(join(folder, "cases.json"));
if (!isPresent)
	console.warn(
		`Skipping image encoder and ResNet: there is no ${folder} (DD_SHARED names the folder that holds reference/).`,
	);

interface Case {
	name: string;
	kind: string;
	file: string;
	model: string;
	mode?: "eval" | "train";
	steps: number;
	mixup_lambda: number[];
	lr: number;
	momentum: number;
	weight_decay: number;
	weight_decay_on: string;
}

const cases: Case[] = isPresent ? JSON.parse(readFileSync(join(folder, "cases.json"), "utf8")).cases : [];
const of = (kind: string, mode?: string) => cases.filter((each) => each.kind === kind && (!mode || each.mode === mode));

interface Numbers {
	shape: readonly number[];
	data: HostArray;
}

async function readAll(path: string): Promise<Map<string, Numbers>> {
	const file = await openSafetensors(path);
	const tensors = new Map<string, Numbers>();
	for (const [name, { dtype, shape }] of file.tensors)
		tensors.set(name, { shape, data: dtype.startsWith("F") ? await file.readF32(name) : await file.readI32(name) });
	await file.close();
	return tensors;
}

function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
	expect(actual.length).toBe(expected.length);
	let [difference, size] = [0, 0];
	for (let i = 0; i < expected.length; i++) {
		difference += (actual[i]! - expected[i]!) ** 2;
		size += expected[i]! ** 2;
	}
	return Math.sqrt(difference / size);
}

let device: Device;
beforeAll(async () => {
	device = await openDevice("cpu");
});
afterAll(() => device.dispose());

async function states(tensors: ReadonlyMap<string, Numbers>, names: Iterable<string>): Promise<Map<string, Tensor>> {
	const out = new Map<string, Tensor>();
	for (const name of names) {
		const { shape, data } = tensors.get(name)!;
		out.set(name, await device.tensor(shape, { name, data }));
	}
	return out;
}

describe.skipIf(!isPresent)("CLIP's image encoder", () => {
	test.each(of("clip_vision").map((each) => [each.name, each] as const))("%s", async (_, { file, model }) => {
		const json = JSON.parse(readFileSync(join(folder, model, "config.json"), "utf8"));
		const config = readClipVisionConfig(json.vision_config);
		const stored = await readAll(join(folder, model, "model.safetensors"));
		const data = await readAll(join(folder, file));
		const shapes = imageEncoderWeights(config);
		for (const [name, shape] of shapes) expect(stored.get(name)?.shape, name).toEqual(shape);
		const weights = await states(stored, shapes.keys());
		const { shape } = data.get("pixel_values")!;
		const program = await device.compile((graph) => {
			const pixels = graph.input("pixels", shape);
			const result = clipVisionModel(trainableWeights(graph, weights), config, transpose(pixels, [0, 2, 3, 1]));
			const upstream = graph.input("upstream", result.embeddings.shape);
			return { ...result, gradient: gradients(result.embeddings, [pixels], upstream)[0]! };
		});
		const result = await program.run({
			pixels: data.get("pixel_values")!.data,
			upstream: data.get("grad_image_embeds")!.data,
		});
		expect(relativeError(result.lastHiddenState, data.get("last_hidden_state")!.data)).toBeLessThan(1e-4);
		expect(relativeError(result.pooled, data.get("pooled")!.data)).toBeLessThan(1e-4);
		expect(relativeError(result.embeddings, data.get("image_embeds")!.data)).toBeLessThan(1e-4);
		expect(relativeError(result.gradient, data.get("grad_pixel_values")!.data)).toBeLessThan(5e-4);
	});
});

describe.skipIf(!isPresent)("the ResNet", () => {
	async function load(model: string) {
		const config = readResnetClassifierConfig(JSON.parse(readFileSync(join(folder, model, "config.json"), "utf8")));
		const stored = await readAll(join(folder, model, "model.safetensors"));
		const shapes = classifierWeights(config);
		const floats = [...stored.keys()].filter((name) => !name.endsWith("num_batches_tracked"));
		expect([...shapes.keys()].sort()).toEqual(floats.sort());
		return { config, weights: await states(stored, shapes.keys()) };
	}

	const classify = (
		graph: Graph,
		{ config, weights }: Awaited<ReturnType<typeof load>>,
		pixels: Value,
		training: boolean,
	) => resnetClassifier(trainableWeights(graph, weights), config, transpose(pixels, [0, 2, 3, 1]), { training });

	test.each(of("resnet50", "eval").map((each) => [each.name, each] as const))("%s", async (_, { file, model }) => {
		const network = await load(model);
		const data = await readAll(join(folder, file));
		const { shape } = data.get("pixel_values")!;
		const program = await device.compile((graph) => {
			const { features, logits } = classify(graph, network, graph.input("pixels", shape), false);
			return { features, logits: logits.fc! };
		});
		const result = await program.run({ pixels: data.get("pixel_values")!.data });
		expect(relativeError(result.features, data.get("features")!.data)).toBeLessThan(1e-4);
		expect(relativeError(result.logits, data.get("logits")!.data)).toBeLessThan(1e-4);
	});

	test.each(of("resnet50", "train").map((each) => [each.name, each] as const))("%s", async (_, each) => {
		const network = await load(each.model);
		const data = await readAll(join(folder, each.file));
		const trained = [...network.weights.keys()].filter((name) => !/running_(mean|var)$/.test(name));
		const all = each.weight_decay_on === "every parameter";
		const optimizer = await sgd(
			trained.map((name) => {
				const tensor = network.weights.get(name)!;
				return { tensor, weightDecay: all || tensor.shape.length > 1 ? 1 : 0 };
			}),
			{ momentum: each.momentum, nesterov: true, weightDecay: each.weight_decay },
		);
		const { shape } = data.get("images_0")!;
		const program = await device.compile((graph) => {
			const images = graph.input("images", shape);
			const reversed = graph.input("reversed", shape);
			const share = graph.input("share");
			const mixed = add(mul(images, share), mul(reversed, add(mul(share, -1), 1)));
			const { logits, statistics } = classify(graph, network, mixed, true);
			const loss = crossEntropy(logits.fc!, graph.input("target", logits.fc!.shape));
			const grads = gradients(
				loss,
				trained.map((name) => graph.state(network.weights.get(name)!)),
			);
			optimizer.update(graph, grads);
			for (const [name, value] of statistics) graph.assign(network.weights.get(name)!, value);
			const byName = Object.fromEntries(trained.map((name, i) => [`grad.${name}`, grads[i]!]));
			return { loss, logits: logits.fc!, ...byName } as Record<string, Value>;
		});
		const row = shape.slice(1).reduce((a, b) => a * b, 1);
		for (let step = 0; step < each.steps; step++) {
			const images = data.get(`images_${step}`)!.data;
			const reversed = new Float32Array(images.length);
			for (let n = 0; n < shape[0]!; n++)
				reversed.set(images.subarray((shape[0]! - 1 - n) * row, (shape[0]! - n) * row), n * row);
			const result = await program.run({
				images,
				reversed,
				share: each.mixup_lambda[step]!,
				target: data.get(`target_${step}`)!.data,
				...optimizer.inputs(step + 1, each.lr),
			});
			expect(relativeError(result.loss!, data.get(`loss_${step}`)!.data)).toBeLessThan(1e-4);
			expect(relativeError(result.logits!, data.get(`logits_${step}`)!.data)).toBeLessThan(1e-4);
			for (const name of trained) {
				const expected = data.get(`grad_${step}.${name}`);
				if (expected) expect(relativeError(result[`grad.${name}`]!, expected.data), name).toBeLessThan(5e-4);
			}
			let compared = 0;
			for (const [name, tensor] of network.weights) {
				const expected = data.get(`after_${step}.${name}`);
				if (!expected) continue;
				compared++;
				expect(relativeError(await tensor.read(), expected.data), `${name} after step ${step}`).toBeLessThan(5e-4);
			}
			expect(compared).toBeGreaterThan(10);
		}
		optimizer.dispose();
	});
});

describe("configurations", () => {
	test("are refused with the key that is wrong", () => {
		expect(() => readClipVisionConfig({ image_size: 64, patch_size: 24 })).toThrow(
			'"patch_size" 24 does not divide "image_size" 64',
		);
		expect(() => readClipVisionConfig({ num_channels: 4 })).toThrow('"num_channels" is 4; supported: 3');
		const resnet = { block: "basic", layers: [1, 1], channels: [8, 8] };
		expect(() => readResnetClassifierConfig({ ...resnet, block: "wide" })).toThrow(
			'"block" is "wide"; supported: basic, bottleneck',
		);
		expect(() => readResnetClassifierConfig({ ...resnet, channels: [8] })).toThrow(
			'"channels" must have as many values as "layers"',
		);
		expect(readResnetClassifierConfig({ ...resnet, num_classes: 10 }).heads).toEqual({ fc: 10 });
	});
});
