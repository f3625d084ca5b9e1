// Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
import { ShapeError } from "../graph/errors.js";
import type { Value } from "../graph/graph.js";
import { formatType, type Type } from "../graph/types.js";
import { type Contents, defineOp, type Sample } from "./table.js";

/** Codes of docs/kernels.md. */
const KINDS = { normal: 0, uniform: 1, bits: 2 } as const;
type Kind = keyof typeof KINDS;

const MULTIPLIERS = [0xd2511f53, 0xcd9e8d57] as const;
const WEYL = [0x9e3779b9, 0xbb67ae85] as const;

/** High and low word of a product of two 32-bit words. */
function multiply(a: number, b: number): [high: number, low: number] {
	// 16-bit pieces keep every partial product exact in a double.
	const a0 = a & 0xffff;
	const a1 = a >>> 16;
	const b0 = b & 0xffff;
	const b1 = b >>> 16;
	const low = a0 * b0;
	const middle = a1 * b0 + (low >>> 16);
	const cross = a0 * b1 + (middle & 0xffff);
	return [(a1 * b1 + Math.floor(middle / 0x10000) + Math.floor(cross / 0x10000)) >>> 0, Math.imul(a, b) >>> 0];
}

/**
 * One block of Philox4x32-10: four random 32-bit words (unsigned) that depend on nothing but counter and key.
 *
 * @param counter Four 32-bit words, signed or not.
 * @param key Two 32-bit words.
 */
export function philox4x32(counter: ArrayLike<number>, key: ArrayLike<number>): [number, number, number, number] {
	let [c0, c1, c2, c3] = [counter[0]! >>> 0, counter[1]! >>> 0, counter[2]! >>> 0, counter[3]! >>> 0];
	let [k0, k1] = [key[0]! >>> 0, key[1]! >>> 0];
	for (let round = 0; round < 10; round++) {
		const [high0, low0] = multiply(MULTIPLIERS[0], c0);
		const [high1, low1] = multiply(MULTIPLIERS[1], c2);
		[c0, c1, c2, c3] = [(high1 ^ c1 ^ k0) >>> 0, low1, (high0 ^ c3 ^ k1) >>> 0, low0];
		k0 = (k0 + WEYL[0]) >>> 0;
		k1 = (k1 + WEYL[1]) >>> 0;
	}
	return [c0, c1, c2, c3];
}

/** Four numbers from four words, as docs/kernels.md defines them. */
function draw(words: readonly [number, number, number, number], kind: Kind): number[] {
	if (kind === "bits") return words.map((word) => word | 0);
	if (kind === "uniform") return words.map((word) => (word >>> 8) * 2 ** -24);
	const pair = (u0: number, u1: number): number[] => {
		const radius = Math.sqrt(-2 * Math.log((u0 + 1) * 2 ** -32));
		const angle = 2 * Math.PI * (u1 * 2 ** -32);
		return [radius * Math.cos(angle), radius * Math.sin(angle)];
	};
	return [...pair(words[0], words[1]), ...pair(words[2], words[3])];
}

const randomOp = defineOp({
	name: "random",
	infer: (inputs, attributes) => {
		const key = inputs[0] as Type;
		const { kind, n } = attributes as { kind: Kind; n: number };
		if (key.dtype !== "i32" || key.shape.length !== 2 || key.shape[1] !== 4)
			throw new ShapeError(`random: the key must be i32[rows, 4], not ${formatType(key)}`);
		if (!Number.isSafeInteger(n) || n < 0)
			throw new ShapeError(`random: the count must be a whole number ≥ 0, not ${n}`);
		return [{ shape: [key.shape[0]!, n], dtype: kind === "bits" ? "i32" : "f32" }];
	},
	evaluate: (inputs, attributes, types) => {
		const key = inputs[0]!;
		const kind = attributes.kind as Kind;
		const [rows, n] = types.outputs[0]!.shape as [number, number];
		const y: Contents = new Float64Array(rows * n);
		for (let row = 0; row < rows; row++) {
			const words = key.subarray(4 * row, 4 * row + 4);
			for (let block = 0; 4 * block < n; block++) {
				const counter = [block, Math.floor(block / 2 ** 32), words[2]!, words[3]!];
				draw(philox4x32(counter, words), kind).forEach((value, lane) => {
					if (4 * block + lane < n) y[row * n + 4 * block + lane] = value;
				});
			}
		}
		return [y];
	},
	lower: (lowering, node) => {
		const { kind, n } = node.attributes as { kind: Kind; n: number };
		const key = node.inputs[0]!;
		lowering.call("random", node, {
			operands: [lowering.contiguous(key), lowering.output(node.outputs[0]!)],
			ints: [key.shape[0]!, n, KINDS[kind]],
		});
	},
	samples: (random): Sample[] =>
		(["normal", "uniform", "bits"] as const).flatMap((kind) =>
			[random.integer(1, 300), 1, 4, 4097].map((n) => ({
				inputs: [{ shape: [3, 4], dtype: "i32" as const }],
				attributes: { kind, n },
				draw: (_: number, normal: () => number) => (normal() * 2 ** 31) | 0,
			})),
		),
});

function apply(key: Value, n: number, kind: Kind): Value {
	return key.graph.apply(randomOp, [key], { kind, n })[0]!;
}

/**
 * Standard normal numbers by Philox4x32-10 and Box–Muller. Each row depends on its own key alone: the same whatever the batch, the
 * thread count or the device. No gradient.
 *
 * @param key i32 [rows, 4]: two words of key (the seed) and the two upper words of the counter (which draw of that seed)
 * @param n Numbers per row.
 * @returns f32 [rows, n]
 */
export const philoxNormal = (key: Value, n: number): Value => apply(key, n, "normal");

/** Uniform numbers in [0, 1), multiples of 2⁻²⁴; as `philoxNormal`. */
export const philoxUniform = (key: Value, n: number): Value => apply(key, n, "uniform");

/** The raw 32-bit words as i32; as `philoxNormal`. */
export const philoxBits = (key: Value, n: number): Value => apply(key, n, "bits");
