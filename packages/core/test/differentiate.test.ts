// What differentiation writes: not only the right numbers, but no more work than they need.
import { describe, expect, it } from "vitest";
import { add, Graph, gradients, interpret, mul, slice, split, square, sum, type Value } from "../src/index.js";

const X = Float64Array.from({ length: 14 }, (_, i) => Math.sin(i + 1));

/** The gradient of a loss with respect to x [2, 7], and the names of the ops written for it. */
function differentiate(loss: (x: Value) => Value): { grad: number[]; ops: string[] } {
	const graph = new Graph();
	const x = graph.input("x", [2, 7]);
	const y = loss(x);
	const before = graph.nodes.length;
	const [grad] = gradients(y, [x]);
	const ops = graph.nodes.slice(before).map((node) => node.op.name);
	return { grad: [...interpret([grad!], { inputs: { x: X } }).get(grad!)!], ops };
}

const columns = (weights: number[]) => [...X].map((x, i) => 2 * x * weights[i % 7]!);
const expectClose = (actual: number[], expected: number[]) => {
	expect(actual).toHaveLength(expected.length);
	for (const [i, value] of actual.entries()) expect(value).toBeCloseTo(expected[i]!, 12);
};

describe("gradients of slices", () => {
	it("are put side by side once", () => {
		const { grad, ops } = differentiate((x) => {
			const [a, b, c] = split(x, 1, [2, 4, 1]) as [Value, Value, Value];
			return add(add(sum(square(a)), mul(sum(square(b)), 3)), mul(sum(square(c)), 5));
		});
		expectClose(grad, columns([1, 1, 3, 3, 3, 3, 5]));
		expect(ops.filter((op) => op === "concat")).toHaveLength(1);
		expect(ops).not.toContain("pad");
	});

	it("leave zeros where no slice was read", () => {
		const { grad, ops } = differentiate((x) =>
			add(sum(square(slice(x, 1, 1, 2))), mul(sum(square(slice(x, 1, 4, 2))), 3)),
		);
		expectClose(grad, columns([0, 1, 1, 0, 3, 3, 0]));
		expect(ops).not.toContain("pad");
	});

	it("add up where slices overlap, lie along several axes, or the whole is read too", () => {
		const { grad } = differentiate((x) => {
			const parts = [slice(x, 1, 0, 4), slice(x, 1, 2, 3), slice(x, 0, 1, 1), x].map((part) => sum(square(part)));
			return parts.reduce((a, b) => add(a, b));
		});
		expectClose(
			grad,
			[...X].map((x, i) => {
				const column = i % 7;
				const times = 1 + (column < 4 ? 1 : 0) + (column >= 2 && column < 5 ? 1 : 0) + (i >= 7 ? 1 : 0);
				return 2 * x * times;
			}),
		);
	});

	it("serve a single slice, and slices of slices", () => {
		expectClose(differentiate((x) => sum(square(slice(x, 1, 3, 2)))).grad, columns([0, 0, 0, 1, 1, 0, 0]));
		const { grad } = differentiate((x) => {
			const inner = slice(x, 1, 1, 5);
			return add(sum(square(slice(inner, 1, 0, 2))), mul(sum(square(slice(inner, 1, 2, 3))), 2));
		});
		expectClose(grad, columns([0, 1, 1, 2, 2, 2, 0]));
	});
});
