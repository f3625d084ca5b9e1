// Softmax and its logarithm.
import { ShapeError } from "../graph/errors.js";
import type { Value } from "../graph/graph.js";
import { formatType, normalizeAxis } from "../graph/types.js";
import { transpose } from "./shape.js";
import { type Contents, defineOp, type Sample } from "./table.js";

const rowsOf = (x: Value): [number, number] => {
	const channels = x.shape.at(-1)!;
	return [x.size / Math.max(1, channels), channels];
};

const softmaxGradOp = defineOp({
	name: "softmaxGrad",
	infer: (inputs) => [{ shape: inputs[1]!.shape, dtype: inputs[1]!.dtype }],
	evaluate: (inputs, attributes, types) => {
		const [y, dy] = inputs as readonly [Contents, Contents];
		const channels = types.inputs[0]!.shape.at(-1)!;
		const dx = new Float64Array(y.length);
		for (let start = 0; start < y.length; start += channels) {
			let total = 0;
			for (let at = start; at < start + channels; at++) total += attributes.log ? dy[at]! : dy[at]! * y[at]!;
			for (let at = start; at < start + channels; at++)
				dx[at] = attributes.log ? dy[at]! - Math.exp(y[at]!) * total : y[at]! * (dy[at]! - total);
		}
		return [dx];
	},
	lower: (lowering, node) => {
		const [y, dy] = node.inputs as readonly [Value, Value];
		lowering.call("softmax_grad", node, {
			operands: [lowering.activation(y), lowering.activation(dy), lowering.result(node.outputs[0]!)],
			ints: [...rowsOf(y), node.attributes.log ? 1 : 0],
		});
	},
});

const softmaxOp = defineOp({
	name: "softmax",
	infer: (inputs, attributes) => {
		const x = inputs[0]!;
		const name = attributes.log ? "logSoftmax" : "softmax";
		if (x.dtype === "i32")
			throw new ShapeError(`${name}: i32 has no arithmetic (${formatType(x)}); cast it to f32 first`);
		if (x.shape.length < 1) throw new ShapeError(`${name}: a scalar has no axis to normalise`);
		return [{ shape: x.shape, dtype: x.dtype }];
	},
	evaluate: (inputs, attributes, types) => {
		const x = inputs[0]!;
		const channels = types.inputs[0]!.shape.at(-1)!;
		const y = new Float64Array(x.length);
		for (let start = 0; start < x.length; start += channels) {
			const row = x.subarray(start, start + channels);
			const highest = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
			const lse = highest + Math.log(row.reduce((total, value) => total + Math.exp(value - highest), 0));
			row.forEach((value, k) => {
				y[start + k] = attributes.log ? value - lse : Math.exp(value - lse);
			});
		}
		return [y];
	},
	differentiate: (c) => {
		const dy = c.grad(0);
		return dy ? [dy.graph.apply(softmaxGradOp, [c.output(0), dy], c.attributes)[0]!] : [];
	},
	lower: (lowering, node) => {
		const x = node.inputs[0]!;
		lowering.call("softmax", node, {
			operands: [lowering.activation(x), lowering.result(node.outputs[0]!)],
			ints: [...rowsOf(x), node.attributes.log ? 1 : 0],
		});
	},
	samples: (random): Sample[] =>
		[true, false].flatMap((log) =>
			[
				[random.integer(1, 90), random.integer(2, 150)],
				[2, 3, 77],
				[5, 1],
				[1, 1000],
			].map((shape) => ({
				inputs: [{ shape, dtype: "f32" as const }],
				attributes: { log },
				draw: (_: number, normal: () => number) => 5 * normal(),
			})),
		),
});

function alongAxis(name: string, x: Value, axis: number, log: boolean): Value {
	const apply = (value: Value) => x.graph.apply(softmaxOp, [value], { log })[0]!;
	if (x.rank === 0) return apply(x);
	const at = normalizeAxis(name, axis, x.rank);
	if (at === x.rank - 1) return apply(x);
	const order = x.shape.map((_, i) => i);
	[order[at], order[x.rank - 1]] = [x.rank - 1, at];
	return transpose(apply(transpose(x, order)), order);
}

/** exp(x) / Σ exp(x) along one axis (default: the last), without overflow. */
export const softmax = (x: Value, axis = -1): Value => alongAxis("softmax", x, axis, false);

/** log softmax(x) along one axis (default: the last), without overflow. */
export const logSoftmax = (x: Value, axis = -1): Value => alongAxis("logSoftmax", x, axis, true);
