// Ops against formulas written out another way.
import { describe, expect, it } from "vitest";
import {
	add,
	attention,
	avgPool2d,
	batchNorm,
	broadcastTo,
	cast,
	concat,
	conv2d,
	crossEntropy,
	div,
	embedding,
	Graph,
	gather,
	gradients,
	groupNorm,
	l1,
	l2Normalize,
	layerNorm,
	linear,
	logSoftmax,
	matmul,
	maxPool2d,
	mean,
	mse,
	mul,
	oneHot,
	reshape,
	scatterAdd,
	silu,
	slice,
	softmax,
	sqrt,
	sub,
	sum,
	timestepEmbedding,
	transpose,
	upsampleConv2d,
	upsampleNearest2x,
	type Value,
	variance,
} from "../../src/index.js";
import { nodesBehind } from "../../src/interpret/interpreter.js";
import { distance, evaluate, normals, seeded } from "./support.js";

const random = seeded("formulas");

describe("conv2d", () => {
	it("is a cross-correlation over pixels, with bias, channel vector, activation, residual in that order", () => {
		const x = [1, 2, 3, 4, 5, 6, 7, 8, 9];
		const w = [1, 10, 100, 1000];
		const [plain, full] = evaluate(
			{
				x: [[1, 3, 3, 1], x],
				w: [[1, 1, 2, 2], w],
				r: [
					[1, 2, 2, 1],
					[1, 1, 1, 1],
				],
			},
			({ x, w, r }, graph) => [
				conv2d(x!, w!),
				conv2d(x!, w!, {
					bias: graph.constant([-10000], [1]),
					channelVector: graph.constant([4400], [1, 1]),
					activation: "relu",
					residual: r!,
				}),
			],
		);
		expect(plain).toEqual([5421, 6532, 8754, 9865]);
		expect(full).toEqual([1, 6532 - 5600 + 1, 8754 - 5600 + 1, 9865 - 5600 + 1]);
	});

	it("of 1×1 is a linear layer over the channels", () => {
		const [a, b] = evaluate(
			{ x: normals(random, 2, 3, 4, 5), w: normals(random, 7, 5, 1, 1), b: normals(random, 7) },
			({ x, w, b }) => [conv2d(x!, w!, { bias: b! }), linear(x!, reshape(w!, [7, 5]), { bias: b! })],
		);
		expect(distance(a!, b!)).toBeLessThan(1e-13);
	});

	it("takes strides and padding per direction and side", () => {
		const [a, b] = evaluate({ x: normals(random, 1, 5, 6, 2), w: normals(random, 3, 2, 3, 3) }, ({ x, w }, graph) => {
			// Zeros laid around by hand: 1 below, 2 on the right.
			const right = concat([x!, broadcastTo(graph.constant(0), [1, 5, 2, 2])], 2);
			const padded = concat([right, broadcastTo(graph.constant(0), [1, 1, 8, 2])], 1);
			return [conv2d(x!, w!, { stride: [2, 1], padding: [0, 0, 1, 2] }), conv2d(padded, w!, { stride: [2, 1] })];
		});
		expect(a).toEqual(b);
	});

	it("with upsample 2 is a convolution of the enlarged picture", () => {
		const [a, b, c] = evaluate({ x: normals(random, 2, 3, 4, 3), w: normals(random, 5, 3, 3, 3) }, ({ x, w }) => [
			upsampleConv2d(x!, w!, { padding: 1 }),
			conv2d(upsampleNearest2x(x!), w!, { padding: 1 }),
			conv2d(x!, w!, { padding: 1, upsample: 2 }),
		]);
		expect(a).toEqual(b);
		expect(c).toEqual(b);
	});

	it("reads two values side by side without joining them, and their gradients come apart", () => {
		const graph = new Graph();
		const [a, b] = [graph.input("a", [1, 4, 4, 2]), graph.input("b", [1, 4, 4, 3])];
		const w = graph.input("w", [4, 5, 3, 3]);
		const x = groupNorm(concat([a, b], -1), { groups: 5, activation: "silu" });
		const loss = sum(mul(conv2d(concat([a, b], -1), w, { padding: 1 }), conv2d(x, w, { padding: 1 })));
		const names = nodesBehind([loss, ...gradients(loss, [a, b, w])]).map((node) => node.op.name);
		expect(names).not.toContain("concat");
		expect(names).not.toContain("slice");
		const [joined, apart] = evaluate(
			{ a: normals(random, 1, 4, 4, 2), b: normals(random, 1, 4, 4, 3), w: normals(random, 4, 5, 3, 3) },
			({ a, b, w }) => {
				const x = concat([a!, b!], -1);
				return [conv2d(x, w!), conv2d(add(x, 0), w!)];
			},
		);
		expect(joined).toEqual(apart);
	});
});

describe("attention", () => {
	const byHand = (q: Value, k: Value, v: Value, heads: number, causal: boolean): Value => {
		const split = (x: Value) => transpose(reshape(x, [x.shape[0]!, x.shape[1]!, heads, -1]), [0, 2, 1, 3]);
		const scores = matmul(split(q), split(k), { transposeB: true, alpha: 1 / Math.sqrt(q.shape[2]! / heads) });
		const [lq, lk] = scores.shape.slice(-2) as [number, number];
		const mask = Array.from({ length: lq * lk }, (_, i) => (causal && i % lk > Math.floor(i / lk) ? -1e30 : 0));
		const p = softmax(add(scores, q.graph.constant(mask, [lq, lk])));
		return reshape(transpose(matmul(p, split(v)), [0, 2, 1, 3]), [...q.shape]);
	};
	it.each([
		{ causal: false, lq: 6, lk: 77 },
		{ causal: true, lq: 9, lk: 9 },
		{ causal: true, lq: 5, lk: 8 },
	])("equals softmax(q·kᵀ/√D)·v per head: $causal, $lq queries, $lk keys", ({ causal, lq, lk }) => {
		const inputs = { q: normals(random, 2, lq, 12), k: normals(random, 2, lk, 12), v: normals(random, 2, lk, 12) };
		const results = evaluate(inputs, ({ q, k, v }) =>
			[attention(q!, k!, v!, { heads: 3, causal }), byHand(q!, k!, v!, 3, causal)].flatMap((o) => [
				o,
				...gradients(sum(mul(o, o)), [q!, k!, v!]),
			]),
		);
		for (let i = 0; i < 4; i++) expect(distance(results[i]!, results[i + 4]!)).toBeLessThan(1e-12);
	});
});

describe("norms", () => {
	const standardized = (x: Value, axes: number[], eps: number) =>
		div(
			sub(x, mean(x, axes, { keepDims: true })),
			sqrt(add(variance(x, axes, { keepDims: true, correction: 0 }), eps)),
		);

	it("groupNorm takes groups of neighbouring channels over all pixels, then scales, shifts and activates", () => {
		const inputs = { x: normals(random, 2, 3, 4, 6), w: normals(random, 6), b: normals(random, 6) };
		const [a, b] = evaluate(inputs, ({ x, w, b }) => {
			const normal = reshape(standardized(reshape(x!, [2, 12, 2, 3]), [1, 3], 1e-3), [2, 3, 4, 6]);
			return [
				groupNorm(x!, { groups: 2, eps: 1e-3, weight: w!, bias: b!, activation: "silu" }),
				silu(add(mul(normal, w!), b!)),
			];
		});
		expect(distance(a!, b!)).toBeLessThan(1e-12);
	});

	it("layerNorm takes the last axis", () => {
		const inputs = { x: normals(random, 2, 5, 7), w: normals(random, 7), b: normals(random, 7) };
		const [a, b] = evaluate(inputs, ({ x, w, b }) => [
			layerNorm(x!, { weight: w!, bias: b! }),
			add(mul(standardized(x!, [2], 1e-5), w!), b!),
		]);
		expect(distance(a!, b!)).toBeLessThan(1e-12);
	});

	it("batchNorm normalises by the variance over n and keeps the one over n − 1", () => {
		// One channel with the values 1, 2, 3, 6: mean 3, squares 14; another that is constant.
		const x = [1, 5, 2, 5, 3, 5, 6, 5];
		const inputs = { x: [[2, 1, 2, 2], x], mean: [[2], [1, 0]], variance: [[2], [2, 1]] } as const;
		const [y, runningMean, runningVariance] = evaluate(inputs, ({ x, mean, variance }) => {
			const result = batchNorm(x!, { runningMean: mean!, runningVariance: variance!, training: true, eps: 0.5 });
			return [result.y, result.runningMean, result.runningVariance];
		});
		const scale = 1 / Math.sqrt(14 / 4 + 0.5);
		expect(distance(y!, [-2 * scale, 0, -scale, 0, 0, 0, 3 * scale, 0])).toBeLessThan(1e-14);
		expect(distance(runningMean!, [0.9 * 1 + 0.1 * 3, 0.5])).toBeLessThan(1e-14);
		expect(distance(runningVariance!, [0.9 * 2 + (0.1 * 14) / 3, 0.9])).toBeLessThan(1e-14);

		const [inference] = evaluate(
			{ ...inputs, w: [[2], [2, 3]], b: [[2], [10, 20]] },
			({ x, mean, variance, w, b }) =>
				batchNorm(x!, { runningMean: mean!, runningVariance: variance!, weight: w!, bias: b!, eps: 0 }).y,
		);
		const want = x.map((value, i) => (i % 2 ? value * 3 + 20 : ((value - 1) / Math.SQRT2) * 2 + 10));
		expect(distance(inference!, want)).toBeLessThan(1e-13);
	});
});

describe("softmax and losses", () => {
	it("softmax works along any axis and does not overflow", () => {
		const [last, first, log] = evaluate(
			{
				x: [
					[2, 2],
					[1000, 1001, -1000, 0],
				],
			},
			({ x }) => [softmax(x!), softmax(x!, 0), logSoftmax(x!)],
		);
		const p = 1 / (1 + Math.E);
		expect(distance(last!, [p, 1 - p, 0, 1])).toBeLessThan(1e-12);
		expect(distance(first!, [1, 1, 0, 0])).toBeLessThan(1e-12);
		expect(distance(log!, [Math.log(p), Math.log(1 - p), -1000, 0])).toBeLessThan(1e-12);
	});

	it("crossEntropy equals PyTorch's for indices, smoothing and soft targets", () => {
		const logits = [1, 2, 3, 1, 0, -1];
		const lse = Math.log(Math.exp(1) + Math.exp(2) + Math.exp(3));
		// The second row is the first one reversed and shifted: its classes have the losses a, b, c.
		const [a, b] = [lse - 3, lse - 2];
		const inputs = { x: [[2, 3], logits], t: [[2], [2, 1], "i32"] } as const;
		const [hard, each, smooth, soft] = evaluate(inputs, ({ x, t }, graph) => [
			crossEntropy(x!, t!),
			crossEntropy(x!, t!, { reduction: "none" }),
			crossEntropy(x!, t!, { labelSmoothing: 0.1, reduction: "none" }),
			crossEntropy(x!, graph.constant([0, 0.25, 0.75, 1, 0, 0], [2, 3]), { reduction: "none" }),
		]);
		expect(distance(each!, [a, b])).toBeLessThan(1e-14);
		expect(hard![0]).toBeCloseTo((a + b) / 2, 14);
		expect(distance(smooth!, [0.9 * a + 0.1 * b, b])).toBeLessThan(1e-14);
		expect(distance(soft!, [0.25 * b + 0.75 * a, a])).toBeLessThan(1e-14);
	});

	it("mse and l1 reduce in f32 whatever the storage", () => {
		const graph = new Graph();
		const half = graph.input("x", [3], "bf16");
		expect(mse(half, half).dtype).toBe("f32");
		const inputs = { x: [[3], [1, 2, 4]], y: [[3], [1, 0, 7]] } as const;
		const results = evaluate(inputs, ({ x, y }) => [mse(x!, y!), l1(x!, y!), l1(x!, y!, "none"), mse(x!, y!, "sum")]);
		expect(results.map((r) => r.map((v) => Number(v.toFixed(12))))).toEqual([
			[Number((13 / 3).toFixed(12))],
			[Number((5 / 3).toFixed(12))],
			[0, 2, 3],
			[13],
		]);
	});

	it("l2Normalize leaves a zero row zero, with a finite gradient", () => {
		const [y, columns, dx] = evaluate(
			{
				x: [
					[2, 2],
					[3, 4, 0, 0],
				],
			},
			({ x }) => {
				const y = l2Normalize(x!);
				return [y, l2Normalize(x!, { axis: 0 }), gradients(sum(y), [x!])[0]!];
			},
		);
		expect(distance(y!, [0.6, 0.8, 0, 0])).toBeLessThan(1e-15);
		expect(distance(columns!, [1, 1, 0, 0])).toBeLessThan(1e-15);
		expect(distance(dx!.slice(0, 2), [(1 - 0.6 * 1.4) / 5, (1 - 0.8 * 1.4) / 5])).toBeLessThan(1e-15);
		expect(dx!.slice(2).every(Number.isFinite)).toBe(true);
	});
});

describe("pools", () => {
	const x = [
		[1, 3, 3, 1],
		[1, 2, 3, 4, -5, 6, 7, 8, 9],
	] as const;

	it("average with and without the padding", () => {
		const [counted, valid] = evaluate({ x }, ({ x }) => [
			avgPool2d(x!, { kernel: 2, padding: 1 }),
			avgPool2d(x!, { kernel: 2, padding: 1, countIncludePad: false }),
		]);
		expect(counted).toEqual([1 / 4, 5 / 4, 11 / 4, 18 / 4]);
		expect(valid).toEqual([1, 5 / 2, 11 / 2, 18 / 4]);
	});

	it("maximum: padding never wins, ties go to the first", () => {
		const [y] = evaluate(
			{
				x: [
					[1, 2, 2, 1],
					[-1, -2, -3, -4],
				],
			},
			({ x }) => maxPool2d(x!, { kernel: 3, stride: 1, padding: 1 }),
		);
		expect(y).toEqual([-1, -1, -1, -1]);
		const [dx] = evaluate(
			{
				x: [
					[1, 1, 3, 1],
					[2, 2, 2],
				],
			},
			({ x }) => gradients(sum(maxPool2d(x!, { kernel: [1, 2], stride: 1 })), [x!]),
		);
		expect(dx).toEqual([1, 1, 0]);
	});
});

describe("tables", () => {
	it("gather reads rows of any shape; its gradient adds up repeated ones", () => {
		const table = [
			[3, 2],
			[0, 1, 10, 11, 20, 21],
		] as const;
		const [y, scalars, dt] = evaluate({ table, index: [[2, 2], [2, 0, 2, 2], "i32"] }, ({ table, index }) => {
			const y = embedding(table!, index!);
			return [y, gather(reshape(slice(table!, 1, 1, 1), [3]), index!), gradients(sum(y), [table!])[0]!];
		});
		expect(y).toEqual([20, 21, 0, 1, 20, 21, 20, 21]);
		expect(scalars).toEqual([21, 1, 21, 21]);
		expect(dt).toEqual([1, 1, 0, 0, 3, 3]);
	});

	it("an index outside the table is named", () => {
		const read = (index: number[]) => () =>
			evaluate(
				{
					table: [
						[3, 1],
						[0, 1, 2],
					],
					index: [[2], index, "i32"],
				},
				({ table, index }) => gather(table!, index!),
			);
		expect(read([0, 3])).toThrow("gather: index 3 at position 1 is outside [0, 3)");
		expect(read([-1, 0])).toThrow("gather: index -1 at position 0 is outside [0, 3)");
	});

	it("scatterAdd and oneHot", () => {
		const [y, hot] = evaluate(
			{
				index: [[3], [1, 1, 0], "i32"],
				x: [
					[3, 2],
					[1, 2, 3, 4, 5, 6],
				],
			},
			({ index, x }) => [scatterAdd(index!, x!, 3), oneHot(index!, 2)],
		);
		expect(y).toEqual([5, 6, 4, 6, 0, 0]);
		expect(hot).toEqual([0, 1, 0, 1, 1, 0]);
	});

	it("timestepEmbedding is diffusers' sinusoid", () => {
		const t = [0, 1, 999];
		const [sd, plain, odd] = evaluate({ t: [[3], t] }, ({ t }) => [
			timestepEmbedding(t!, 6, { flipSinToCos: true, downscaleFreqShift: 0 }),
			timestepEmbedding(t!, 6),
			timestepEmbedding(cast(cast(t!, "i32"), "f32"), 5, { scale: 2, maxPeriod: 100 }),
		]);
		const angles = (base: number, half: number, shift: number, scale = 1) =>
			t.map((time) => Array.from({ length: half }, (_, i) => scale * time * base ** (-i / (half - shift))));
		expect(
			distance(
				sd!,
				angles(1e4, 3, 0).flatMap((a) => [...a.map(Math.cos), ...a.map(Math.sin)]),
			),
		).toBeLessThan(1e-12);
		expect(
			distance(
				plain!,
				angles(1e4, 3, 1).flatMap((a) => [...a.map(Math.sin), ...a.map(Math.cos)]),
			),
		).toBeLessThan(1e-12);
		expect(
			distance(
				odd!,
				angles(100, 2, 1, 2).flatMap((a) => [...a.map(Math.sin), ...a.map(Math.cos), 0]),
			),
		).toBeLessThan(1e-12);
	});
});
