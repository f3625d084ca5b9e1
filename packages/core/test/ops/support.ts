// Seeded cases drawn from the op table's samples.

import { type DType, sizeOf } from "../../src/graph/types.js";
import { Graph, interpret, Value } from "../../src/index.js";
import type { Contents, Op, Sample, SampleRandom } from "../../src/ops/table.js";

/** A small generator of good quality (Mulberry32), seeded by a string so that cases do not depend on the table's order. */
export class Random implements SampleRandom {
	private state: number;

	constructor(seed: string) {
		this.state = 0x9e3779b9;
		for (const character of seed) this.state = Math.imul(this.state ^ character.charCodeAt(0), 0x85ebca6b) + 0x1234567;
	}

	/** Uniform in [0, 1). */
	uniform(): number {
		this.state = (this.state + 0x6d2b79f5) | 0;
		let t = this.state;
		t = Math.imul(t ^ (t >>> 15), t | 1);
		t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
		return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
	}

	normal = (): number => Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());

	/** Both ends included. */
	integer(low: number, high: number): number {
		return low + Math.floor(this.uniform() * (high - low + 1));
	}

	choose<T>(items: readonly T[]): T {
		return items[this.integer(0, items.length - 1)]!;
	}

	boolean(): boolean {
		return this.uniform() < 0.5;
	}
}

/** Contents of a sample's inputs; i32 inputs are whole. */
export function drawInputs(sample: Sample, random: Random): (Contents | null)[] {
	return sample.inputs.map((type, input) => {
		if (!type) return null;
		const draw = sample.draw ?? ((_: number, normal: () => number) => normal());
		return Float64Array.from({ length: sizeOf(type.shape) }, (_, i) => {
			const value = draw(input, random.normal, i);
			return type.dtype === "i32" ? Math.trunc(value) : value;
		});
	});
}

/** A sample in words, for a failure. */
export function describeSample(op: Op, sample: Sample): string {
	const types = sample.inputs.map((type) => (type ? `${type.dtype}[${type.shape.join(",")}]` : "–"));
	return `${op.name}(${types.join(", ")}) ${JSON.stringify(sample.attributes ?? {})}`;
}

/** Evaluates a small graph in float64. Inputs are given as nested data: name → [shape, numbers]. */
export function evaluate(
	inputs: Readonly<Record<string, readonly [shape: readonly number[], data: ArrayLike<number>, dtype?: DType]>>,
	build: (values: Readonly<Record<string, Value>>, graph: Graph) => Value | readonly Value[],
): number[][] {
	const graph = new Graph();
	const names = Object.keys(inputs);
	const values = names.map((name) => [name, graph.input(name, inputs[name]![0], inputs[name]![2])] as const);
	const built = build(Object.fromEntries(values), graph);
	const outputs = built instanceof Value ? [built] : built;
	const contents = interpret(outputs, { inputs: Object.fromEntries(names.map((name) => [name, inputs[name]![1]])) });
	return outputs.map((value) => [...contents.get(value)!]);
}

/** Normal numbers for a shape, with the shape: an input of `evaluate`. */
export function normals(random: Random, ...shape: number[]): readonly [number[], Float64Array] {
	return [shape, Float64Array.from({ length: sizeOf(shape) }, random.normal)];
}

/** Largest difference of two lists of equal length. */
export function distance(a: readonly number[], b: readonly number[]): number {
	if (a.length !== b.length) throw new Error(`${a.length} numbers against ${b.length}`);
	return a.reduce((largest, value, i) => {
		const difference = Math.abs(value - b[i]!);
		return difference > largest || Number.isNaN(difference) ? difference : largest;
	}, 0);
}
