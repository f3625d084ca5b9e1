// Mistakes in shapes and types throw where the call is written, in a sentence that names the op and the types.
import { describe, expect, it } from "vitest";
import type { DType } from "../../src/graph/types.js";
import {
	attention,
	avgPool2d,
	batchNorm,
	concat,
	conv2d,
	crossEntropy,
	embedding,
	Graph,
	groupNorm,
	layerNorm,
	logSoftmax,
	maxPool2d,
	mse,
	ShapeError,
	scatterAdd,
	softmax,
	timestepEmbedding,
	type Value,
} from "../../src/index.js";
import { adamwOp } from "../../src/ops/optimizer.js";

const graph = new Graph();
let inputs = 0;
const f32 = (...shape: number[]): Value => graph.input(`input ${inputs++}`, shape);
const typed = (dtype: DType, ...shape: number[]): Value => graph.input(`input ${inputs++}`, shape, dtype);
const x = f32(2, 8, 8, 6);

describe("mistakes throw a sentence", () => {
	it.each<[string, () => unknown, string]>([
		["channels", () => conv2d(x, f32(4, 5, 3, 3)), "the weight f32[4, 5, 3, 3] reads 5 channels, the picture has 6"],
		["both halves", () => conv2d(concat([x, x], -1), f32(4, 6, 3, 3)), "the picture has 12"],
		[
			"picture",
			() => conv2d(f32(8, 8, 6), f32(4, 6, 3, 3)),
			"conv2d: expected a picture [N, H, W, C], got f32[8, 8, 6]",
		],
		["weight", () => conv2d(x, f32(4, 6)), "conv2d: expected a weight [O, I, kh, kw], got f32[4, 6]"],
		["window", () => conv2d(x, f32(4, 6, 9, 9)), "a window of 9×9 does not fit into f32[2, 8, 8, 6]"],
		["stride", () => conv2d(x, f32(4, 6, 3, 3), { stride: 0 }), "the stride is one whole number ≥ 1 or two, not 0"],
		["padding", () => conv2d(x, f32(4, 6, 3, 3), { padding: [1, -1] }), "not [1,-1]"],
		["bias", () => conv2d(x, f32(4, 6, 3, 3), { bias: f32(6) }), "the bias f32[6] must have the shape [4]"],
		["vector", () => conv2d(x, f32(4, 6, 3, 3), { channelVector: f32(4) }), "must have the shape [2, 4]"],
		["residual", () => conv2d(x, f32(4, 6, 3, 3), { residual: x }), "must have the result's shape [2, 6, 6, 4]"],
		["integers", () => conv2d(typed("i32", 1, 4, 4, 1), f32(1, 1, 1, 1)), "conv2d: i32 has no arithmetic"],
		["rank", () => attention(f32(4, 8), f32(4, 8), f32(4, 8), { heads: 2 }), "each must be [B, L, heads·D]"],
		["heads", () => attention(f32(1, 4, 8), f32(1, 4, 8), f32(1, 4, 8), { heads: 3 }), "8 channels can't be divided"],
		["lengths", () => attention(f32(1, 4, 8), f32(1, 5, 8), f32(1, 4, 8), { heads: 2 }), "the same length"],
		["no key", () => attention(f32(1, 4, 8), f32(1, 0, 8), f32(1, 0, 8), { heads: 2 }), "no key"],
		["too wide", () => attention(f32(1, 4, 1026), f32(1, 4, 1026), f32(1, 4, 1026), { heads: 2 }), "at most 512 wide"],
		["groups", () => groupNorm(x, { groups: 4 }), "the 6 channels of f32[2, 8, 8, 6] can't be divided into 4 groups"],
		["scale", () => groupNorm(x, { groups: 2, weight: f32(2) }), "the weight f32[2] must be floats of the shape [6]"],
		["eps", () => layerNorm(x, { eps: -1 }), "layerNorm: eps must be a number ≥ 0, not -1"],
		["shift", () => layerNorm(x, { bias: f32(8) }), "layerNorm: the bias f32[8]"],
		[
			"one value",
			() => batchNorm(f32(1, 3), { runningMean: f32(3), runningVariance: f32(3), training: true }),
			"training needs more than one value per channel",
		],
		["scalar", () => softmax(f32()), "softmax: a scalar has no axis"],
		["axis", () => logSoftmax(x, 4), "logSoftmax: axis 4 does not exist"],
		[
			"targets",
			() => crossEntropy(f32(3, 5), typed("i32", 4)),
			"class indices for f32[3, 5] must have the shape [3], not [4]",
		],
		["soft", () => crossEntropy(f32(3, 5), f32(3)), "probabilities for f32[3, 5] must have the shape [3, 5], not [3]"],
		["smoothing", () => crossEntropy(f32(3, 5), typed("i32", 3), { labelSmoothing: 2 }), "from 0 to 1, not 2"],
		["difference", () => mse(f32(3), f32(4)), "mse: the prediction f32[3] and the target f32[4] differ"],
		["pool padding", () => maxPool2d(x, { kernel: 2, padding: 2 }), "maxPool2d: padding [2, 2, 2, 2] is not less"],
		["pool size", () => avgPool2d(x, { kernel: 9 }), "a window of 9×9 does not fit"],
		["index", () => embedding(f32(3, 4), f32(2)), "gather: the index must be i32, not f32[2]"],
		["rows", () => scatterAdd(typed("i32", 3), f32(4, 2), 5), "one row per index, got f32[4, 2] for the index i32[3]"],
		["small", () => timestepEmbedding(f32(2), 1), "timestepEmbedding: 1 is too small"],
		[
			"optimiser",
			() => graph.apply(adamwOp, [f32(3), f32(3), f32(2), f32(3), f32(8)]),
			"must be f32 of one shape, not f32[2]",
		],
	])("%s", (_, write, sentence) => {
		expect(write).toThrow(ShapeError);
		expect(write).toThrow(sentence);
	});

	it("names where it was written", () => {
		expect(() => graph.named("down.0", () => graph.named("conv1", () => conv2d(x, f32(4, 5, 3, 3))))).toThrow(
			"down.0.conv1: conv2d:",
		);
	});
});

describe("low precision", () => {
	it.each(["f16", "bf16"] as const)("%s passes through, statistics stay f32", (dtype) => {
		const h = typed(dtype, 2, 8, 8, 6);
		expect(conv2d(h, f32(4, 6, 3, 3)).dtype).toBe(dtype);
		const norm = groupNorm(h, { groups: 2 });
		expect([norm.dtype, norm.node.outputs[1]!.dtype]).toEqual([dtype, "f32"]);
		const rows = layerNorm(h);
		expect([rows.dtype, rows.node.outputs[1]!.dtype, rows.node.outputs[1]!.shape]).toEqual([
			dtype,
			"f32",
			[2, 8, 8, 2],
		]);
		const q = typed(dtype, 1, 4, 8);
		const o = attention(q, q, q, { heads: 2 });
		expect([o.dtype, o.node.outputs[1]!.dtype]).toEqual([dtype, "f32"]);
		expect(softmax(h).dtype).toBe(dtype);
		expect(maxPool2d(h, { kernel: 2 }).dtype).toBe(dtype);
		expect(embedding(typed(dtype, 3, 4), typed("i32", 2)).dtype).toBe(dtype);
		expect(embedding(typed(dtype, 3, 4), typed("i32", 2), { dtype: "f32" }).dtype).toBe("f32");
		expect(crossEntropy(typed(dtype, 3, 4), typed("i32", 3)).dtype).toBe("f32");
	});
});
