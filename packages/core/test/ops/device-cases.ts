// Every op on a device against its float64 reference: the samples of the op table, forward and gradient, in f32 and in 16-bit storage,
// with weights given at run time and frozen (packed). The GPU kit runs it on cards, so it needs no test framework.
import { fromStorage, type HostArray, toStorage } from "../../src/device/host.js";
import type { DType, Type } from "../../src/graph/types.js";
import {
	add,
	type Device,
	FrozenTensor,
	Graph,
	gradients,
	type InterpretOptions,
	interpret,
	mul,
	opTable,
	sum,
	type Value,
} from "../../src/index.js";
import type { Op, Sample } from "../../src/ops/table.js";
import { describeSample, drawInputs, seeded } from "./support.js";

/** Relative to the larger of ‖result‖ and ‖the same ops on absolute values‖. */
const BOUND = 1e-5;
/** In 16-bit storage: of the interpreter's own error when it rounds every result to its type. */
const LOW_PRECISION_FACTOR = 2;
/** The errors of fewer results don't average out, and the interpreter may have been lucky: such results may be off by some roundings. */
const FEW = 16;
const ROUNDINGS = 4;
const UNIT_ROUNDOFF: Readonly<Record<DType, number>> = { f32: 0, i32: 0, f16: 2 ** -11, bf16: 2 ** -8 };
export const SEEDS = { f32: 2, f16: 1, bf16: 1 };

/** State that is trained is f32. */
export const F32_ONLY = new Set(["adamw", "sgd"]);

/** Inputs that a model gives as frozen weights: they are read from packed or 16-bit copies. */
export const FROZEN: Readonly<Record<string, readonly number[]>> = {
	matmul: [1, 2],
	conv2d: [2, 3],
	groupNorm: [2, 3],
	layerNorm: [1, 2],
	gather: [0],
};

export interface Variant {
	/** Storage of the float inputs. */
	readonly storage: "f32" | "f16" | "bf16";
	/** Storage of frozen weights; null: none is frozen. */
	readonly frozen: "f32" | "f16" | "bf16" | null;
}

/** Several samples of one op as one program: outputs `sample.y0` and gradients `sample.d0`. */
class Case {
	readonly contents: Record<string, HostArray> = {};
	readonly sentences: string[] = [];
	private readonly weights = new Map<string, FrozenTensor>();

	constructor(
		private readonly op: Op,
		private readonly variant: Variant,
		private readonly seed: string,
	) {}

	/** Writes the same graph at every call. */
	build(graph: Graph): Record<string, Value> {
		const random = seeded(this.seed);
		const outputs: Record<string, Value> = {};
		this.op.samples!(random).forEach((drawn, s) => {
			const sample = this.stored(drawn);
			this.sentences[s] = describeSample(this.op, sample);
			const data = drawInputs(sample, random);
			const values = sample.inputs.map((type, i) => type && this.leaf(graph, `${s}.x${i}`, type, data[i]!, i));
			const results = graph.apply(this.op, values, sample.attributes);
			results.forEach((y, k) => {
				outputs[`${s}.y${k}`] = y;
			});
			if (!this.op.differentiate) return;
			const terms = results.flatMap((y, k) => {
				if (y.dtype === "i32" || this.op.auxiliaryOutputs?.includes(k)) return [];
				return [
					sum(
						mul(
							y,
							this.input(
								graph,
								`${s}.w${k}`,
								y,
								Float64Array.from({ length: y.size }, () => random.normal()),
							),
						),
					),
				];
			});
			const wanted = values.flatMap((value, i) =>
				value && value.dtype !== "i32" && !this.isFrozen(i) ? [{ i, value }] : [],
			);
			if (terms.length === 0 || wanted.length === 0) return;
			const loss = terms.reduce((a, b) => add(a, b));
			gradients(
				loss,
				wanted.map(({ value }) => value),
			).forEach((grad, k) => {
				outputs[`${s}.d${wanted[k]!.i}`] = grad;
			});
		});
		return outputs;
	}

	interpret(values: readonly Value[], options: InterpretOptions): ReturnType<typeof interpret> {
		const frozen = (tensor: FrozenTensor) => fromStorage((tensor.source as { data: Float32Array }).data, tensor.dtype);
		return interpret(values, { inputs: this.contents, frozen, ...options });
	}

	private stored(sample: Sample): Sample {
		const inputs = sample.inputs.map((type) =>
			type?.dtype === "f32" ? { ...type, dtype: this.variant.storage } : type,
		);
		return { ...sample, inputs };
	}

	private isFrozen(input: number): boolean {
		return this.variant.frozen !== null && (FROZEN[this.op.name]?.includes(input) ?? false);
	}

	private leaf(graph: Graph, name: string, type: Type, data: Float64Array, input: number): Value {
		if (!this.isFrozen(input)) return this.input(graph, name, type, data);
		let weight = this.weights.get(name);
		if (!weight) {
			const dtype = this.variant.frozen!;
			weight = new FrozenTensor(name, type.shape, dtype, { data: toStorage(data, dtype) });
			this.weights.set(name, weight);
		}
		return graph.frozen(weight);
	}

	private input(graph: Graph, name: string, type: Type, data: Float64Array): Value {
		this.contents[name] ??= fromStorage(toStorage(data, type.dtype), type.dtype);
		return graph.input(name, type.shape, type.dtype);
	}
}

/** Evaluates an op on the absolute values of what it is given. */
const onAbsoluteValues =
	(op: Op): Op["evaluate"] =>
	(inputs, attributes, types) => {
		const absolute = inputs.map((x, i) => x && (types.inputs[i]!.dtype === "i32" ? x : x.map(Math.abs)));
		return (op.magnitude ?? op.evaluate)(absolute, attributes, types);
	};

function norm(x: ArrayLike<number>, minus?: ArrayLike<number>): number {
	let total = 0;
	for (let i = 0; i < x.length; i++) total += (x[i]! - (minus ? minus[i]! : 0)) ** 2;
	return Math.sqrt(total);
}

/** What a device's result is held to. */
interface Expected {
	readonly want: Float64Array;
	readonly bound: number;
	readonly dtype: DType;
	readonly sentence: string;
}

function expectations(op: Op, testCase: Case): Map<string, Expected> {
	const outputs = testCase.build(new Graph());
	const values = Object.values(outputs);
	const exact = testCase.interpret(values, {});
	const absolute = testCase.interpret(values, { evaluate: onAbsoluteValues });
	const low = values.some((value) => value.dtype === "f16" || value.dtype === "bf16");
	const rounded = low ? testCase.interpret(values, { precision: "typed" }) : null;
	return new Map(
		Object.entries(outputs).map(([name, value]) => {
			const want = exact.get(value)!;
			const magnitude = Math.max(norm(want), norm(absolute.get(value)!));
			const few = value.size < FEW ? ROUNDINGS * UNIT_ROUNDOFF[value.dtype] * magnitude : 0;
			const own = rounded ? Math.max(LOW_PRECISION_FACTOR * norm(rounded.get(value)!, want), few) : 0;
			const sentence = `${name} of ${testCase.sentences[Number.parseInt(name, 10)]}`;
			return [name, { want, bound: (op.bound ?? BOUND) * magnitude + own, dtype: value.dtype, sentence }];
		}),
	);
}

async function runOn(device: Device, testCase: Case, expected: ReadonlyMap<string, Expected>): Promise<void> {
	const program = await device.compile((graph) => testCase.build(graph));
	try {
		const got = await program.run(testCase.contents, { poison: true });
		for (const [name, { want, bound, dtype, sentence }] of expected) {
			const error = norm(got[name]!, want);
			const held = dtype === "i32" ? error === 0 : error <= bound;
			if (!held) throw new Error(`${device.isa}, ${sentence}: error ${error} over the bound ${bound}`);
		}
	} finally {
		program.dispose();
	}
}

/** Runs the samples of an op drawn from a seed on each device. */
export async function checkOp(devices: readonly Device[], op: Op, variant: Variant, seed: number): Promise<void> {
	const testCase = new Case(op, variant, `${op.name} ${variant.storage} ${variant.frozen} ${seed}`);
	const expected = expectations(op, testCase);
	if (expected.size === 0) throw new Error(`the samples of ${op.name} have no outputs`);
	for (const device of devices) await runOn(device, testCase, expected);
}

/** The names of the ops in the graph of an op's samples and their gradients. */
export function opsReached(op: Op): string[] {
	const graph = new Graph();
	new Case(op, { storage: "f32", frozen: null }, op.name).build(graph);
	return graph.nodes.map((node) => node.op.name);
}

/** The rows that have samples, and of those the ones that 16-bit storage makes sense for. */
export function rowsWithSamples(): { rows: Op[]; stored: Op[] } {
	const rows = [...opTable().values()].filter((op) => op.samples);
	return { rows, stored: rows.filter((op) => !F32_ONLY.has(op.name) && op.name !== "random") };
}
