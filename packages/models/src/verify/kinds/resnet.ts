import {
	contentsOf,
	crossEntropy,
	type Device,
	gradients,
	sgd,
	type Tensor,
	trainableWeights,
	type Value,
} from "@dreamdist/core";
import { z } from "zod";
import type { Component } from "../../loading/components.js";
import { CLASSIFIER } from "../../loading/encoder-kinds.js";
import { resnetClassifier } from "../../networks/resnet-classifier.js";
import type { ResnetClassifierConfig } from "../../networks/resnet-classifier-config.js";
import type { CaseKind, CaseTensor, VerifyCase } from "../case.js";
import { channelsLast } from "../layout.js";

const BOUND = 1e-4;
const UPDATE_BOUND = 5e-4;

const trainingSchema = z.looseObject({
	steps: z.int().min(1),
	mixup_lambda: z.array(z.number()),
	label_smoothing: z.number(),
	lr: z.number(),
	momentum: z.number(),
	nesterov: z.boolean(),
	weight_decay: z.number(),
	weight_decay_on: z.enum(["every parameter", "tensors of two or more dimensions"]),
});

type Classifier = Component<ResnetClassifierConfig>;

/** A classifier's features and logits, or its training with mixup and Nesterov's momentum. */
export const resnetCase: CaseKind = async (one) => {
	const classifier = await one.component(CLASSIFIER);
	if (one.attributes.mode === "train") return train(one, classifier);
	const pixels = await one.input("pixel_values");
	const { config, weights } = classifier;
	const results = await one.runner.run(
		"classifier",
		(graph) => {
			const pictures = channelsLast(graph.input("pixels", pixels.shape));
			const { features, logits } = resnetClassifier(weights.open(graph), config, pictures);
			return { features, logits: logits.fc! };
		},
		{ pixels: pixels.data },
	);
	await one.compare("features", results.features, BOUND);
	await one.compare("logits", results.logits, BOUND);
};

const isStatistic = (name: string) => /running_(mean|var)$/.test(name);

async function train(one: VerifyCase, { config, weights }: Classifier): Promise<void> {
	const settings = one.read(trainingSchema);
	const { device } = one.runner;
	const state = await stateOf(device, weights.tensors);
	const trained = [...state.keys()].filter((name) => !isStatistic(name));
	const decaysAll = settings.weight_decay_on === "every parameter";
	const optimizer = await sgd(
		trained.map((name) => {
			const tensor = state.get(name)!;
			return { tensor, weightDecay: decaysAll || tensor.shape.length > 1 ? 1 : 0 };
		}),
		{ momentum: settings.momentum, nesterov: settings.nesterov, weightDecay: settings.weight_decay },
	);
	const { shape } = await one.input("images_0");
	const classes = config.heads.fc!;
	const step = await device.compile(
		(graph): Record<string, Value> => {
			const pictures = channelsLast(graph.input("images", shape));
			const result = resnetClassifier(trainableWeights(graph, state), config, pictures, { training: true });
			const loss = crossEntropy(result.logits.fc!, graph.input("target", [shape[0]!, classes]));
			const leaves = trained.map((name) => graph.state(state.get(name)!));
			const grads = gradients(loss, leaves);
			optimizer.update(graph, grads);
			for (const [name, value] of result.statistics) graph.assign(state.get(name)!, value);
			return { loss, logits: result.logits.fc!, ...Object.fromEntries(trained.map((name, i) => [name, grads[i]!])) };
		},
		{ name: "classifier step", ...one.runner.options },
	);
	try {
		for (let i = 0; i < settings.steps; i++) {
			const mix = settings.mixup_lambda[i]!;
			const images = mixed((await one.input(`images_${i}`)).data, shape[0]!, mix);
			const labels = await one.input(`labels_${i}`);
			const target = mixed(smoothed(labels, classes, settings.label_smoothing), shape[0]!, mix);
			if (one.has(`target_${i}`)) await one.compare(`target_${i}`, target, BOUND);
			const inputs = { images, target, ...optimizer.inputs(i + 1, settings.lr) };
			const results = await step.run(inputs, one.runner.options);
			one.runner.launches += step.kernelCalls;
			await one.compare(`logits_${i}`, results.logits!, BOUND);
			await one.compare(`loss_${i}`, results.loss!, BOUND);
			for (const name of trained)
				if (one.has(`grad_${i}.${name}`)) await one.compare(`grad_${i}.${name}`, results[name]!, UPDATE_BOUND);
			for (const [name, tensor] of state)
				if (one.has(`after_${i}.${name}`)) await one.compare(`after_${i}.${name}`, await tensor.read(), UPDATE_BOUND);
		}
		if (one.has("eval_pixel_values")) await evaluate(one, config, state);
	} finally {
		step.dispose();
		optimizer.dispose();
		for (const tensor of state.values()) tensor.dispose();
	}
}

/** In evaluation mode, with the running statistics that training left. */
async function evaluate(
	one: VerifyCase,
	config: ResnetClassifierConfig,
	state: ReadonlyMap<string, Tensor>,
): Promise<void> {
	const pixels = await one.input("eval_pixel_values");
	const { logits } = await one.runner.run(
		"classifier after training",
		(graph) => {
			const pictures = channelsLast(graph.input("pixels", pixels.shape));
			return { logits: resnetClassifier(trainableWeights(graph, state), config, pictures).logits.fc! };
		},
		{ pixels: pixels.data },
	);
	await one.compare("eval_logits", logits, BOUND);
}

async function stateOf(device: Device, tensors: Classifier["weights"]["tensors"]): Promise<Map<string, Tensor>> {
	const state = new Map<string, Tensor>();
	for (const [name, tensor] of tensors)
		state.set(name, await device.tensor(tensor.shape, { name, data: await contentsOf(device, tensor) }));
	return state;
}

/** Mixup with the batch reversed: λ·row + (1 − λ)·the row as far from the end. */
function mixed(data: Float32Array, rows: number, lambda: number): Float32Array {
	const row = data.length / rows;
	return data.map((value, i) => {
		const partner = data[(rows - 1 - Math.floor(i / row)) * row + (i % row)]!;
		return lambda * value + (1 - lambda) * partner;
	});
}

/** One-hot labels with a share ε spread over all classes, [B, classes]. */
function smoothed(labels: CaseTensor, classes: number, epsilon: number): Float32Array {
	const out = new Float32Array(labels.data.length * classes).fill(epsilon / classes);
	labels.data.forEach((label, row) => {
		out[row * classes + label] = epsilon / classes + 1 - epsilon;
	});
	return out;
}
