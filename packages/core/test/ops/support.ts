// Seeded cases drawn from the op table's samples.

import { type DType, sizeOf } from "../../src/graph/types.js";
import { Graph, interpret, Value } from "../../src/index.js";
import type { Contents, Op, Sample } from "../../src/ops/table.js";
import { TestRandom } from "../random.js";

/** A generator seeded by a text, so that an op's cases do not depend on its place in the table. */
export function seeded(text: string): TestRandom {
	let hash = 0x811c9dc5;
	for (const character of text) hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193);
	return new TestRandom(hash);
}

/** Contents of a sample's inputs; i32 inputs are whole. */
export function drawInputs(sample: Sample, random: TestRandom): (Contents | null)[] {
	const normal = () => random.normal();
	return sample.inputs.map((type, input) => {
		if (!type) return null;
		const draw = sample.draw ?? ((_: number, normal: () => number) => normal());
		return Float64Array.from({ length: sizeOf(type.shape) }, (_, i) => {
			const value = draw(input, normal, i);
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
export function normals(random: TestRandom, ...shape: number[]): readonly [number[], Float64Array] {
	return [shape, Float64Array.from({ length: sizeOf(shape) }, () => random.normal())];
}

/** Largest difference of two lists of equal length. */
export function distance(a: readonly number[], b: readonly number[]): number {
	if (a.length !== b.length) throw new Error(`${a.length} numbers against ${b.length}`);
	return a.reduce((largest, value, i) => {
		const difference = Math.abs(value - b[i]!);
		return difference > largest || Number.isNaN(difference) ? difference : largest;
	}, 0);
}
