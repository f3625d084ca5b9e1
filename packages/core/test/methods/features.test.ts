import { describe, expect, it } from "vitest";
import {
	add,
	declareFrames,
	frameData,
	framePrompt,
	Graph,
	gradients,
	interpret,
	mul,
	orthogonalLoss,
	type PromptIds,
	packFrames,
	promptFeatures,
	sampleContexts,
	sum,
	type Value,
} from "../../src/index.js";
import { TestRandom } from "../random.js";
import { LENGTH, tinyTextEncoder, tinyTokenizer, WIDTH } from "./tiny-networks.js";

/** Builds features of K prompts of M vectors in a graph of their own and evaluates what `build` makes of them. */
function evaluate(
	options: { prompts: number; vectors: number; tokens: ArrayLike<number>; words?: PromptIds },
	build: (features: ReturnType<typeof promptFeatures>, tokens: Value, graph: Graph) => Value[],
): Float64Array[] {
	const { prompts, vectors } = options;
	const graph = new Graph();
	const tokens = graph.input("tokens", [1, prompts, vectors, WIDTH]);
	const frames = declareFrames(graph, { rows: 1, prompts, length: LENGTH, vectors });
	const values = build(promptFeatures(tinyTextEncoder, tokens, frames), tokens, graph);
	const packed = packFrames([framePrompt(tinyTokenizer, vectors, options.words)], prompts);
	const contents = interpret(values, {
		inputs: { tokens: options.tokens, ...frameData(packed) } as Record<string, ArrayLike<number>>,
	});
	return values.map((value) => contents.get(value)!);
}

const random = (count: number, seed = 3) => new TestRandom(seed).normals(count);

describe("prompt features", () => {
	it("are the mean and unbiased deviation of what the encoder gives for each prompt by itself", () => {
		const [prompts, vectors] = [4, 2];
		const tokens = random(prompts * vectors * WIDTH);
		const [hidden, pooled, mean, std] = evaluate({ prompts, vectors, tokens, words: { prefix: [1] } }, (f) => [
			f.hidden,
			f.pooled,
			f.mean,
			f.std,
		]);
		const alone = Array.from({ length: prompts }, (_, k) => {
			const own = tokens.slice(k * vectors * WIDTH, (k + 1) * vectors * WIDTH);
			return evaluate({ prompts: 1, vectors, tokens: own, words: { prefix: [1] } }, (f) => [f.hidden])[0]!;
		});
		for (let i = 0; i < LENGTH * WIDTH; i++) {
			const values = alone.map((features) => features[i]!);
			const center = values.reduce((a, b) => a + b) / prompts;
			const variance = values.reduce((a, b) => a + (b - center) ** 2, 0) / (prompts - 1);
			expect(mean![i]).toBeCloseTo(center, 12);
			expect(std![i]).toBeCloseTo(Math.sqrt(variance), 12);
			values.forEach((value, k) => {
				expect(hidden![k * LENGTH * WIDTH + i]).toBeCloseTo(value, 12);
			});
		}
		const end = 2 + vectors; // start, one word, the vectors
		alone.forEach((features, k) => {
			expect([...pooled!.slice(k * WIDTH, (k + 1) * WIDTH)]).toEqual([
				...features.slice(end * WIDTH, (end + 1) * WIDTH),
			]);
		});
	});

	it("have a deviation of exactly 0 before the first vector, and gradients that are numbers", () => {
		const [prompts, vectors] = [6, 2];
		const tokens = random(prompts * vectors * WIDTH, 9);
		const [std, gradient] = evaluate({ prompts, vectors, tokens, words: { prefix: [1, 2] } }, (f, t) => [
			f.std,
			gradients(sum(f.std), [t])[0]!,
		]);
		expect([...std!.slice(0, 3 * WIDTH)]).toEqual(new Array(3 * WIDTH).fill(0));
		expect(Math.min(...std!.slice(3 * WIDTH))).toBeGreaterThan(0);
		expect(gradient!.every(Number.isFinite)).toBe(true);
	});

	it("of one prompt, or of equal ones, have no deviation and no gradient of it", () => {
		const one = random(2 * WIDTH, 5);
		const equal = Float64Array.from({ length: 3 * one.length }, (_, i) => one[i % one.length]!);
		for (const [prompts, tokens] of [[1, one] as const, [3, equal] as const]) {
			const [std, gradient, mean] = evaluate({ prompts, vectors: 2, tokens }, (f, t) => [
				f.std,
				gradients(sum(f.std), [t])[0]!,
				gradients(sum(mul(f.mean, f.mean)), [t])[0]!,
			]);
			expect(std!.every((value) => value === 0)).toBe(true);
			expect(gradient!.every((value) => value === 0)).toBe(true);
			expect(mean!.some((value) => Math.abs(value) > 1e-6) && mean!.every(Number.isFinite)).toBe(true);
		}
	});

	it("have the gradient that differences of the loss give", () => {
		const [prompts, vectors] = [3, 2];
		const tokens = Float64Array.from(random(prompts * vectors * WIDTH, 21));
		const loss = (f: ReturnType<typeof promptFeatures>, graph: Graph) => {
			const weights = (name: number) => graph.constant(random(LENGTH * WIDTH, name), [1, LENGTH, WIDTH]);
			return add(
				add(sum(mul(f.mean, weights(31))), sum(mul(f.std, weights(32)))),
				add(sum(orthogonalLoss(f.pooled, "paper")), sum(orthogonalLoss(f.pooled, "official"))),
			);
		};
		const [gradient] = evaluate({ prompts, vectors, tokens, words: { suffix: [3] } }, (f, t, graph) => [
			gradients(loss(f, graph), [t])[0]!,
		]);
		const at = (index: number, step: number) => {
			const moved = tokens.slice();
			moved[index]! += step;
			return evaluate({ prompts, vectors, tokens: moved, words: { suffix: [3] } }, (f, _, graph) => [
				loss(f, graph),
			])[0]![0]!;
		};
		for (let i = 0; i < tokens.length; i += 5) expect(gradient![i]).toBeCloseTo((at(i, 1e-5) - at(i, -1e-5)) / 2e-5, 6);
	});
});

describe("the orthogonal loss", () => {
	const of = (pooled: number[][][], kind: "paper" | "official") => {
		const graph = new Graph();
		const shape = [pooled.length, pooled[0]!.length, pooled[0]![0]!.length];
		const value = orthogonalLoss(graph.constant(pooled.flat(2), shape), kind);
		return [...interpret([value]).get(value)!];
	};

	it("is the mean over pairs of |cos| as the paper counts them, or of cos² as the code does", () => {
		// Angles of 60°, 60° and 120° between three vectors of any length.
		const h = Math.sqrt(3) / 2;
		const vectors = [
			[
				[2, 0],
				[0.5, h],
				[-1.5, 3 * h],
			],
		];
		expect(of(vectors, "paper")[0]).toBeCloseTo((3 * 0.5) / 6, 12);
		expect(of(vectors, "official")[0]).toBeCloseTo((6 * 0.25) / 6, 12);
	});

	it("is at most a half, or 1, for equal prompts; and 0 for one prompt or right angles", () => {
		const equal = [
			[
				[1, 2],
				[1, 2],
				[1, 2],
			],
		];
		expect(of(equal, "paper")[0]).toBeCloseTo(0.5, 12);
		expect(of(equal, "official")[0]).toBeCloseTo(1, 12);
		expect(of([[[1, 2]]], "paper")).toEqual([0]);
		expect(
			of(
				[
					[
						[0, 3],
						[5, 0],
					],
				],
				"official",
			),
		).toEqual([0]);
	});

	it("counts each class for itself", () => {
		const both = of(
			[
				[
					[1, 0],
					[0, 1],
				],
				[
					[1, 1],
					[2, 2],
				],
			],
			"paper",
		);
		expect(both[0]).toBeCloseTo(0, 12);
		expect(both[1]).toBeCloseTo(0.5, 12);
	});
});

describe("sampled contexts", () => {
	it("are mean + omega · std of each picture's row, the samples of a picture together", () => {
		const graph = new Graph();
		const [rows, batch, samples, length, width] = [2, 3, 2, 2, 1];
		const mean = graph.constant([1, 2, 10, 20], [rows, length, width]);
		const std = graph.constant([0.5, 1, 5, 0], [rows, length, width]);
		const omega = graph.constant(random(batch * samples * length), [batch, samples, length, width]);
		const contexts = sampleContexts(mean, std, omega, batch, graph.constant([1, 0, 1], [batch], "i32"));
		const values = interpret([contexts, omega]);
		expect(contexts.shape).toEqual([batch * samples, length, width]);
		const [given, drawn] = [values.get(contexts)!, values.get(omega)!];
		[1, 0, 1].forEach((row, b) => {
			for (let i = 0; i < samples * length; i++) {
				const at = b * samples * length + i;
				const [m, s] =
					row === 0
						? [
								[1, 2],
								[0.5, 1],
							]
						: [
								[10, 20],
								[5, 0],
							];
				expect(given[at]).toBeCloseTo(m![i % 2]! + s![i % 2]! * drawn[at]!, 12);
			}
		});
	});

	it("share omega where it is given once for all pictures", () => {
		const graph = new Graph();
		const contexts = sampleContexts(
			graph.constant([0, 0], [1, 2, 1]),
			graph.constant([1, 1], [1, 2, 1]),
			graph.constant([1, 2, 3, 4], [1, 2, 2, 1]),
			2,
		);
		expect([...interpret([contexts]).get(contexts)!]).toEqual([1, 2, 3, 4, 1, 2, 3, 4]);
	});
});
