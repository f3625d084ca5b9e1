// A ResNet-50 in small, against PyTorch: strided and padded convolutions, pooling, batch norm in both modes, soft cross-entropy and SGD
// with Nesterov momentum, in one program each.
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
	add,
	batchNorm,
	conv2d,
	crossEntropy,
	type Device,
	type Graph,
	gradients,
	linear,
	maxPool2d,
	mean,
	openDevice,
	openSafetensors,
	relu,
	sgd,
	type Tensor,
	transpose,
	type Value,
} from "../../src/index.js";

const folder = join(process.env.DD_SHARED ?? resolve(import.meta.dirname, "../../../../../shared"), "reference/vision");
const isPresent = existsSync(join(folder, "cases.json"));
if (!isPresent)
	console.warn(`Skipping the small ResNet: there is no ${folder} (DD_SHARED names the folder that holds reference/).`);

interface Case {
	name: string;
	kind: string;
	file: string;
	mode: "eval" | "train";
	model: string;
	steps: number;
	mixup_lambda: number[];
	lr: number;
	momentum: number;
	nesterov: boolean;
	weight_decay: number;
	weight_decay_on: string;
}

interface Config {
	layers: number[];
	batch_norm_eps: number;
	batch_norm_momentum: number;
}

type Tensors = Map<string, { shape: readonly number[]; data: Float32Array }>;

async function readAll(path: string): Promise<Tensors> {
	const file = await openSafetensors(path);
	const tensors: Tensors = new Map();
	for (const [name, { dtype, shape }] of file.tensors)
		if (dtype.startsWith("F")) tensors.set(name, { shape, data: await file.readF32(name) });
	await file.close();
	return tensors;
}

/** The network as functions of its tensors by name; batch norms in training assign their running statistics. */
class ResNet {
	constructor(
		private readonly graph: Graph,
		private readonly config: Config,
		private readonly state: ReadonlyMap<string, Tensor>,
		private readonly training: boolean,
	) {}

	/** [N, 3, H, W] → features [N, C] and logits. */
	forward(pixels: Value): { features: Value; logits: Value } {
		let x = this.convNorm(transpose(pixels, [0, 2, 3, 1]), "conv1", "bn1", 2, 3);
		x = maxPool2d(relu(x), { kernel: 3, stride: 2, padding: 1 });
		this.config.layers.forEach((blocks, stage) => {
			for (let block = 0; block < blocks; block++)
				x = this.bottleneck(x, `layer${stage + 1}.${block}`, stage > 0 && block === 0 ? 2 : 1);
		});
		const features = mean(x, [1, 2]);
		return { features, logits: linear(features, this.read("fc.weight"), { bias: this.read("fc.bias") }) };
	}

	private read(name: string): Value {
		return this.graph.state(this.state.get(name)!);
	}

	private bottleneck(x: Value, name: string, stride: number): Value {
		let y = relu(this.convNorm(x, `${name}.conv1`, `${name}.bn1`, 1, 0));
		y = relu(this.convNorm(y, `${name}.conv2`, `${name}.bn2`, stride, 1));
		y = this.convNorm(y, `${name}.conv3`, `${name}.bn3`, 1, 0);
		const shortcut = this.state.has(`${name}.downsample.0.weight`)
			? this.convNorm(x, `${name}.downsample.0`, `${name}.downsample.1`, stride, 0)
			: x;
		return relu(add(y, shortcut));
	}

	private convNorm(x: Value, conv: string, norm: string, stride: number, padding: number): Value {
		const [running, variance] = [this.state.get(`${norm}.running_mean`)!, this.state.get(`${norm}.running_var`)!];
		const result = batchNorm(conv2d(x, this.read(`${conv}.weight`), { stride, padding }), {
			weight: this.read(`${norm}.weight`),
			bias: this.read(`${norm}.bias`),
			runningMean: this.graph.state(running),
			runningVariance: this.graph.state(variance),
			eps: this.config.batch_norm_eps,
			momentum: this.config.batch_norm_momentum,
			training: this.training,
		});
		if (this.training) {
			this.graph.assign(running, result.runningMean);
			this.graph.assign(variance, result.runningVariance);
		}
		return result.y;
	}
}

function expectClose(got: ArrayLike<number>, want: ArrayLike<number>, bound: number, what: string): void {
	let [difference, size] = [0, 0];
	for (let i = 0; i < want.length; i++) {
		difference += (got[i]! - want[i]!) ** 2;
		size += want[i]! ** 2;
	}
	expect(Math.sqrt(difference / size), what).toBeLessThan(bound);
}

/** λ·x + (1 − λ)·(x with the batch reversed) */
function mixup(images: Float32Array, batch: number, lambda: number): Float32Array {
	const size = images.length / batch;
	return images.map((x, i) => {
		const other = images[(batch - 1 - Math.floor(i / size)) * size + (i % size)]!;
		return lambda * x + (1 - lambda) * other;
	});
}

describe.skipIf(!isPresent)("a small ResNet equals PyTorch's", () => {
	const { cases } = isPresent
		? (JSON.parse(readFileSync(join(folder, "cases.json"), "utf8")) as { cases: Case[] })
		: { cases: [] };
	let device: Device;
	beforeAll(async () => {
		device = await openDevice("cpu", { threads: 2 });
	});
	afterAll(() => device.dispose());

	const load = async (one: Case) => {
		const config = JSON.parse(readFileSync(join(folder, one.model, "config.json"), "utf8")) as Config;
		const state = new Map<string, Tensor>();
		for (const [name, { shape, data }] of await readAll(join(folder, one.model, "model.safetensors")))
			state.set(name, await device.tensor(shape, { name, data }));
		return { config, state, expected: await readAll(join(folder, one.file)) };
	};

	const evaluate = (config: Config, state: ReadonlyMap<string, Tensor>, pixels: { shape: readonly number[] }) =>
		device.compile((graph) => ({
			...new ResNet(graph, config, state, false).forward(graph.input("pixels", pixels.shape)),
		}));

	const resnets = cases.filter((one) => one.kind === "resnet50");

	it.each(resnets.filter((one) => one.mode === "eval"))("$name", async (one) => {
		const { config, state, expected } = await load(one);
		const pixels = expected.get("pixel_values")!;
		const program = await evaluate(config, state, pixels);
		const { features, logits } = await program.run({ pixels: pixels.data });
		expectClose(features, expected.get("features")!.data, 1e-4, "features");
		expectClose(logits, expected.get("logits")!.data, 1e-4, "logits");
	});

	it.each(resnets.filter((one) => one.mode === "train"))("$name", async (one) => {
		const { config, state, expected } = await load(one);
		const parameters = [...state].filter(([name]) => !name.includes("running_"));
		const decayed = (tensor: Tensor) => one.weight_decay_on === "every parameter" || tensor.shape.length >= 2;
		const optimizer = await sgd(
			parameters.map(([, tensor]) => ({ tensor, weightDecay: decayed(tensor) ? 1 : 0 })),
			{ momentum: one.momentum, weightDecay: one.weight_decay, nesterov: one.nesterov },
		);
		const images = expected.get("images_0")!;
		const program = await device.compile((graph) => {
			const pixels = graph.input("pixels", images.shape);
			const { logits } = new ResNet(graph, config, state, true).forward(pixels);
			const loss = crossEntropy(logits, graph.input("target", logits.shape));
			const grads = gradients(
				loss,
				parameters.map(([, tensor]) => graph.state(tensor)),
			);
			optimizer.update(graph, grads);
			const outputs: Record<string, Value> = { logits, loss };
			parameters.forEach(([name], i) => {
				outputs[`grad.${name}`] = grads[i]!;
			});
			return outputs;
		});
		let compared = 0;
		for (let step = 0; step < one.steps; step++) {
			const data = expected.get(`images_${step}`)!.data;
			const results = await program.run({
				pixels: mixup(data, images.shape[0]!, one.mixup_lambda[step]!),
				target: expected.get(`target_${step}`)!.data,
				...optimizer.inputs(step + 1, one.lr),
			});
			expectClose(results.logits!, expected.get(`logits_${step}`)!.data, 1e-4, `logits ${step}`);
			expectClose(results.loss!, expected.get(`loss_${step}`)!.data, 1e-4, `loss ${step}`);
			for (const [name] of parameters) {
				const want = expected.get(`grad_${step}.${name}`);
				if (!want) continue;
				expectClose(results[`grad.${name}`]!, want.data, 5e-4, `gradient ${step} of ${name}`);
				compared++;
			}
			for (const [name, tensor] of state) {
				const want = expected.get(`after_${step}.${name}`);
				if (!want) continue;
				expectClose(await tensor.read(), want.data, 5e-4, `${name} after step ${step}`);
				compared++;
			}
		}
		const stored = [...expected.keys()].filter((name) => /^(grad|after)_/.test(name));
		expect(compared).toBe(stored.length);
		const pixels = expected.get("eval_pixel_values");
		if (pixels) {
			const inference = await evaluate(config, state, pixels);
			const { logits } = await inference.run({ pixels: pixels.data });
			expectClose(logits, expected.get("eval_logits")!.data, 5e-4, "logits after training");
		}
	});
});
