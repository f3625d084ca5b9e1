// Every gradient rule of the op table against central differences of its float64 reference.
import { describe, expect, it } from "vitest";
import { add, Graph, gradients, interpret, mul, opTable, sum, type Value } from "../../src/index.js";
import type { Contents, Op, Sample } from "../../src/ops/table.js";
import type { TestRandom } from "../random.js";
import { describeSample, drawInputs, seeded } from "./support.js";

const SEEDS = 2;
const DIRECTIONS = 2;
const STEP = 1e-6;
const BOUND = 1e-6;

/** Rows that are themselves gradients, or that nothing flows through. */
const WITHOUT_GRADIENT = new Set([
	...["siluGrad", "geluGrad", "quickGeluGrad", "reluGrad"],
	...["conv2dInputGrad", "conv2dWeightGrad", "attentionGrad", "groupNormGrad", "layerNormGrad"],
	...["softmaxGrad", "pool2dGrad"],
	...["random", "adamw", "sgd"],
]);

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
	let total = 0;
	for (let i = 0; i < a.length; i++) total += a[i]! * b[i]!;
	return total;
};

/** The analytic gradients of Σ weights · outputs with respect to every float input. */
function analytic(op: Op, sample: Sample, inputs: readonly (Contents | null)[], weights: readonly (Contents | null)[]) {
	const graph = new Graph();
	const contents: Record<string, Contents> = {};
	const given = (name: string, type: { shape: readonly number[]; dtype: Value["dtype"] }, data: Contents): Value => {
		contents[name] = data;
		return graph.input(name, type.shape, type.dtype);
	};
	const values = sample.inputs.map((type, i) => type && given(`x${i}`, type, inputs[i]!));
	const outputs = graph.apply(op, values, sample.attributes);
	const terms = outputs.flatMap((y, k) => (weights[k] ? [sum(mul(y, given(`w${k}`, y, weights[k]!)))] : []));
	const floats = values.flatMap((value, i) => (value && value.dtype !== "i32" ? [{ i, value }] : []));
	const loss = terms.reduce((a, b) => add(a, b));
	const grads = gradients(
		loss,
		floats.map(({ value }) => value),
	);
	// Each once more as the only one wanted: rules then leave the rest out.
	const alone = floats.map(({ value }) => gradients(loss, [value])[0]!);
	const results = interpret([...grads, ...alone], { inputs: contents });
	grads.forEach((grad, k) => {
		const [together, single] = [results.get(grad)!, results.get(alone[k]!)!];
		const same = together.every((value, at) => Object.is(value, single[at]));
		expect(same, `input ${floats[k]!.i} alone of ${describeSample(op, sample)}`).toBe(true);
	});
	return floats.map(({ i }, k) => ({ input: i, grad: results.get(grads[k]!)! }));
}

/** Compares them along random directions, one input at a time. */
function check(op: Op, sample: Sample, random: TestRandom): void {
	const inputs = drawInputs(sample, random);
	const attributes = sample.attributes ?? {};
	const outputTypes = op.infer(sample.inputs, attributes);
	const evaluate = (given: readonly (Contents | null)[]) =>
		op.evaluate(given, attributes, { inputs: sample.inputs, outputs: outputTypes });
	const weights = outputTypes.map((type, k) =>
		type.dtype === "i32" || op.auxiliaryOutputs?.includes(k)
			? null
			: Float64Array.from(evaluate(inputs)[k]!, () => random.normal()),
	);
	if (weights.every((w) => !w)) return;
	const loss = (given: readonly (Contents | null)[]) =>
		evaluate(given).reduce((total, y, k) => total + (weights[k] ? dot(y, weights[k]) : 0), 0);

	for (const { input, grad } of analytic(op, sample, inputs, weights)) {
		for (let d = 0; d < DIRECTIONS; d++) {
			const direction = Float64Array.from(grad, () => random.normal());
			const moved = (step: number) =>
				loss(inputs.map((x, i) => (i === input ? x!.map((value, at) => value + step * direction[at]!) : x)));
			const numeric = (moved(STEP) - moved(-STEP)) / (2 * STEP);
			const exact = dot(grad, direction);
			const scale = Math.max(1e-2, dot(grad.map(Math.abs), direction.map(Math.abs)));
			expect(
				Math.abs(numeric - exact) / scale,
				`input ${input} of ${describeSample(op, sample)}: ${exact} against ${numeric}`,
			).toBeLessThan(BOUND);
		}
	}
}

describe("gradient rules equal central differences", () => {
	for (const op of opTable().values()) {
		if (!op.differentiate) continue;
		it(op.name, () => {
			expect(op.samples, `${op.name} has a gradient but no samples`).toBeDefined();
			for (let seed = 0; seed < SEEDS; seed++) {
				const random = seeded(`${op.name} ${seed}`);
				for (const sample of op.samples!(random)) check(op, sample, random);
			}
		});
	}
});

describe("the op table", () => {
	it("says which rows have no gradient", () => {
		const without = [...opTable().values()].filter((op) => !op.differentiate).map((op) => op.name);
		expect(new Set(without)).toEqual(WITHOUT_GRADIENT);
	});

	it("notices a wrong gradient", () => {
		const exp = opTable().get("exp")!;
		const wrong: Op = { ...exp, differentiate: (c) => [mul(c.grad(0)!, c.input(0))] };
		const random = seeded("wrong");
		expect(() => check(wrong, exp.samples!(random)[0]!, random)).toThrow(/input 0 of exp/);
	});
});
