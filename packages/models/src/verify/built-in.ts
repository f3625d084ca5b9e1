// Checks that need no files: small networks on weights by formula against stored numbers, against the float64 interpreter, and against the CPU.
import {
	add,
	arrayOf,
	cos,
	createNoiseSchedule,
	type Device,
	type Graph,
	gradients,
	type HostArray,
	type InputData,
	interpret,
	mul,
	openDevice,
	planSampling,
	readSchedulerConfig,
	type Value,
	type WeightSet,
} from "@dreamdist/core";
import { clipTextModel } from "../networks/clip-text.js";
import { readClipTextConfig } from "../networks/clip-text-config.js";
import { textEncoderWeights, unetWeights } from "../networks/declare.js";
import { unet } from "../networks/unet.js";
import { readUNetConfig } from "../networks/unet-config.js";
import { formulaWeights, hashedWeights } from "../weights/formula.js";
import { VerifyRunner } from "./case.js";
import { GOLDEN_ALPHAS, GOLDEN_NETWORKS, GOLDEN_SAMPLES, type GoldenOutput } from "./golden.js";
import { type CaseResult, type Comparison, relativeError, summarise, type VerifyReport } from "./report.js";
import { sampleTrajectory } from "./sample-trajectory.js";
import { verifyCase } from "./yardstick.js";

/** The stored numbers have six decimals: 3e-5 of the smallest one that stands alone. */
const GOLDEN_BOUND = 5e-5;
const BOUND = 1e-4;
const GRADIENT_BOUND = 5e-4;

const SCHEDULE = {
	beta_start: 0.00085,
	beta_end: 0.012,
	beta_schedule: "scaled_linear",
	set_alpha_to_one: false,
	skip_prk_steps: true,
	steps_offset: 1,
};

interface Check {
	readonly name: string;
	readonly kind: "golden" | "reference" | "parity";
	run(runner: VerifyRunner): Promise<Comparison[]>;
}

/**
 * Verifies a device without any files. Where it is another than the CPU, whole networks are compared with the CPU too.
 *
 * @param options signal, and a function called after each case
 */
export async function verifyBuiltIn(
	device: Device,
	options: {
		/** Where the device computes in low precision: one that computes the same naively. */
		yardstick?: Device | undefined;
		signal?: AbortSignal | undefined;
		onCase?: ((result: CaseResult) => void) | undefined;
	} = {},
): Promise<VerifyReport> {
	const { yardstick, signal, onCase } = options;
	const runner = new VerifyRunner(device, signal);
	const naive = yardstick && new VerifyRunner(yardstick, signal);
	const checks = [...goldenNetworks(), goldenSchedule, goldenSamplers, textEncoderReference, unetReference];
	if (device.kind !== "cpu" && !yardstick) checks.push(...parityWithCpu());
	const results: CaseResult[] = [];
	for (const { name, kind, run } of checks) {
		signal?.throwIfAborted();
		const result = await verifyCase(name, kind, run, runner, naive);
		signal?.throwIfAborted();
		results.push(result);
		onCase?.(result);
	}
	return summarise(device.toString(), runner.launches, results);
}

function goldenNetworks(): Check[] {
	return Object.entries(GOLDEN_NETWORKS).map(([name, make]) => ({
		name,
		kind: "golden",
		run: async (runner) => {
			const { build, inputs, expected } = make();
			const shapes = new Map<string, readonly number[]>();
			const results = await runner.run(
				name,
				(graph) => {
					const outputs = build(graph);
					for (const [output, value] of Object.entries(outputs)) shapes.set(output, value.shape);
					return outputs;
				},
				inputs,
			);
			return Object.entries(expected).map(([output, golden]) => {
				const [actual, wanted] = pick(results[output]!, shapes.get(output)!, golden);
				return {
					what: output,
					error: relativeError(actual, wanted),
					bound: GOLDEN_BOUND,
					count: actual.length,
				};
			});
		},
	}));
}

/** The numbers that are stored of an output, as computed and as stored. */
function pick(data: HostArray, shape: readonly number[], golden: GoldenOutput): [actual: number[], expected: number[]] {
	let mean = 0;
	for (const x of data) mean += x / data.length;
	let squares = 0;
	for (const x of data) squares += (x - mean) ** 2;
	const actual = [mean];
	const expected = [golden.mean];
	if (golden.std !== undefined) {
		actual.push(Math.sqrt(squares / (data.length - 1)));
		expected.push(golden.std);
	}
	for (const [index, value] of golden.elements) {
		actual.push(data[index.reduce((at, i, axis) => at * shape[axis]! + i, 0)]!);
		expected.push(value);
	}
	return [actual, expected];
}

const goldenSchedule: Check = {
	name: "noise_schedule",
	kind: "golden",
	run: async () => {
		const config = readSchedulerConfig(SCHEDULE, { overrides: { sampler: "ddim" } });
		const { alphasCumprod } = createNoiseSchedule(config);
		const actual = GOLDEN_ALPHAS.map(([timestep]) => alphasCumprod[timestep]!);
		const expected = GOLDEN_ALPHAS.map(([, value]) => value);
		return [{ what: "alphas_cumprod", error: relativeError(actual, expected), bound: 1e-7 }];
	},
};

const goldenSamplers: Check = {
	name: "samplers",
	kind: "golden",
	run: async (runner) => {
		const comparisons: Comparison[] = [];
		for (const [sampler, golden] of Object.entries(GOLDEN_SAMPLES))
			for (const predictionType of ["v_prediction", "epsilon"] as const) {
				const config = readSchedulerConfig(SCHEDULE, { overrides: { sampler, predictionType }, latents: true });
				const plan = planSampling(config, { steps: 10 });
				const trajectory = await sampleTrajectory(runner, plan, Float32Array.of(0.7, -1.3), (x, time) =>
					add(mul(x, 0.3), mul(cos(mul(time, 10)), 0.2)),
				);
				const error = relativeError(trajectory.subarray(-2), golden[predictionType]);
				comparisons.push({ what: `${sampler}, ${predictionType}`, error, bound: GOLDEN_BOUND });
			}
		return comparisons;
	},
};

/** A network with gradients, small enough for the interpreter. */
interface Subject {
	readonly weights: WeightSet;
	readonly inputs: Readonly<Record<string, InputData>>;
	build(graph: Graph): Record<string, Value>;
}

const wave = (length: number, f: (n: number) => number) => Float32Array.from({ length }, (_, n) => f(n));

function textEncoderSubject(): Subject {
	const config = readClipTextConfig({
		hidden_size: 32,
		num_hidden_layers: 2,
		num_attention_heads: 4,
		intermediate_size: 80,
		vocab_size: 20,
		max_position_embeddings: 24,
	});
	const weights = formulaWeights(textEncoderWeights(config));
	return {
		weights,
		inputs: { embeds: wave(2 * 21 * 32, (n) => Math.sin(0.3 * n)), seed: wave(2 * 21 * 32, (n) => Math.cos(0.2 * n)) },
		build: (graph) => {
			const embeds = graph.input("embeds", [2, 21, 32]);
			const features = clipTextModel(weights.open(graph), config, embeds);
			const [gradient] = gradients(features, [embeds], graph.input("seed", [2, 21, 32]));
			return { features, grad_embeds: gradient! };
		},
	};
}

function unetSubject(): Subject {
	const config = readUNetConfig({
		block_out_channels: [16, 32],
		down_block_types: ["CrossAttnDownBlock2D", "DownBlock2D"],
		up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D"],
		attention_head_dim: [2, 2],
		layers_per_block: 1,
		cross_attention_dim: 24,
		norm_num_groups: 8,
		use_linear_projection: true,
	});
	// Like random ones: on the smooth weights of `formulaWeights` a 16-bit gradient is nothing but rounding.
	const weights = hashedWeights(unetWeights(config), 2);
	return {
		weights,
		inputs: {
			latents: wave(6 * 10 * 4, (n) => Math.sin(0.1 * n)),
			timesteps: [437],
			context: wave(3 * 9 * 24, (n) => Math.cos(0.05 * n)),
			seed: wave(3 * 6 * 10 * 4, (n) => Math.sin(0.7 * n)),
		},
		build: (graph) => {
			const latents = graph.input("latents", [1, 6, 10, 4]);
			const context = graph.input("context", [3, 9, 24]);
			const inputs = { latents, timesteps: graph.input("timesteps", [1]), context };
			const output = unet(weights.open(graph), config, inputs);
			const seed = graph.input("seed", output.shape);
			const [latentsGrad, contextGrad] = gradients(output, [latents, context], seed);
			return { output, grad_latents: latentsGrad!, grad_context: contextGrad! };
		},
	};
}

const boundOf = (output: string) => (output.startsWith("grad_") ? GRADIENT_BOUND : BOUND);

function reference(name: string, make: () => Subject): Check {
	return {
		name,
		kind: "reference",
		run: async (runner) => {
			const { inputs, build } = make();
			let outputs: Record<string, Value> = {};
			const results = await runner.run(
				name,
				(graph) => {
					outputs = build(graph);
					return outputs;
				},
				inputs,
			);
			const contents = interpret(Object.values(outputs), {
				inputs: inputs as Record<string, ArrayLike<number>>,
				frozen: (tensor) => arrayOf(tensor) ?? [],
			});
			return Object.entries(outputs).map(([output, value]) => ({
				what: output,
				error: relativeError(results[output]!, contents.get(value)!),
				bound: boundOf(output),
			}));
		},
	};
}

const textEncoderReference = reference("text_encoder_gradient", textEncoderSubject);
const unetReference = reference("unet_gradients", unetSubject);

/** The same programs on the CPU and on the device under test. */
function parityWithCpu(): Check[] {
	const subjects: Record<string, () => Subject> = {
		...GOLDEN_NETWORKS,
		text_encoder_gradient: textEncoderSubject,
		unet_gradients: unetSubject,
	};
	return Object.entries(subjects).map(([name, make]) => ({
		name: `${name}_on_cpu_and_here`,
		kind: "parity",
		run: async (runner) => {
			const { inputs, build } = make();
			const cpu = await openDevice("cpu");
			try {
				const expected = await new VerifyRunner(cpu, runner.signal).run(name, build, inputs);
				const actual = await runner.run(name, build, inputs);
				return Object.entries(expected).map(([output, data]) => ({
					what: output,
					error: relativeError(actual[output]!, data),
					bound: boundOf(output),
				}));
			} finally {
				cpu.dispose();
			}
		},
	}));
}
