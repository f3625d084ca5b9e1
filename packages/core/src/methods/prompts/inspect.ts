// What a distribution says: nearest words, where it varies, how far its prompts are apart.
import { add } from "../../ops/elementwise.js";
import { matmul } from "../../ops/matmul.js";
import { sumSquares } from "../../ops/reduce.js";
import { reshape } from "../../ops/shape.js";
import type { PromptDistribution } from "./distribution.js";
import type { FeatureDistribution } from "./feature-distribution.js";
import type { PromptEncoder } from "./prompt-encoder.js";

/** A word of the vocabulary and its Euclidean distance in the space of token embeddings. */
export interface NearWord {
	readonly word: string;
	readonly distance: number;
}

export interface DistributionInspection {
	/** The nearest word of each vector of each prompt, [K][M]. */
	readonly words: readonly (readonly NearWord[])[];
	/** Of the mean of the K prompts' vectors, [M]. */
	readonly meanWords: readonly NearWord[];
	/** The deviation at each position, averaged over channels, [L]; not scaled by γ. */
	readonly positionStd: readonly number[];
	/** The deviation averaged over all positions and channels. */
	readonly spread: number;
	/** Over the positions that vary at all: not the start, not a prefix. */
	readonly effectiveSpread: number;
	/** Cosines between the prompts' features at the end token, [K][K]. */
	readonly cosines: readonly (readonly number[])[];
}

/** Texts of tokens looked up at once. */
const ROWS = 32;

/**
 * The vocabulary's nearest word to each vector.
 *
 * @param vectors [N, d]
 */
export async function nearestWords(encoder: PromptEncoder, vectors: Float32Array): Promise<NearWord[]> {
	const { textEncoder, device } = encoder;
	const { tokenizer, length, width } = textEncoder;
	const count = vectors.length / width;
	const best = Array.from({ length: count }, () => ({ id: -1, square: Number.POSITIVE_INFINITY }));
	const program = await device.compile(
		(graph) => {
			const table = reshape(textEncoder.embed(graph.input("ids", [ROWS, length], "i32")), [ROWS * length, width]);
			const products = matmul(table, graph.input("vectors", [count, width]), { transposeB: true, alpha: -2 });
			return { squares: add(products, sumSquares(table, 1, { keepDims: true })) };
		},
		{ name: "nearest words" },
	);
	try {
		const { vocabularySize, startId, endId } = tokenizer;
		const size = ROWS * length;
		for (let from = 0; from < vocabularySize; from += size) {
			const ids = Int32Array.from({ length: size }, (_, i) => Math.min(from + i, vocabularySize - 1));
			const { squares } = await program.run({ ids, vectors });
			for (let i = 0; i < Math.min(size, vocabularySize - from); i++) {
				if (from + i === startId || from + i === endId) continue;
				for (let n = 0; n < count; n++) {
					const square = squares[i * count + n]!;
					if (square < best[n]!.square) best[n] = { id: from + i, square };
				}
			}
		}
	} finally {
		program.dispose();
	}
	return best.map(({ id, square }, n) => {
		let own = 0;
		for (let i = 0; i < width; i++) own += vectors[n * width + i]! ** 2;
		return { word: visible(tokenizer.decode(id).trim(), id), distance: Math.sqrt(Math.max(0, square + own)) };
	});
}

/** A token of bytes that are no letters is told by its number. */
function visible(word: string, id: number): string {
	return /[^\p{C}\p{Z}\p{M}\uFFFD]/u.test(word) ? word : `#${id}`;
}

/** Looks at a distribution (of its chosen class) through a model's text encoder. */
export async function inspectDistribution(
	encoder: PromptEncoder,
	distribution: PromptDistribution,
): Promise<DistributionInspection> {
	const { data, prompts, vectors, width } = distribution.tokens;
	const all = new Float32Array(data.length + vectors * width);
	all.set(data);
	all.set(distribution.meanTokens, data.length);
	const { distribution: fitted, pooled } = await distribution.encode(encoder);
	const words = await nearestWords(encoder, all);
	return {
		words: Array.from({ length: prompts }, (_, k) => words.slice(k * vectors, (k + 1) * vectors)),
		meanWords: words.slice(prompts * vectors),
		...spreadOf(fitted),
		cosines: cosineMatrix(pooled, prompts),
	};
}

/** Where and how much features vary. */
export function spreadOf(
	features: FeatureDistribution,
): Pick<DistributionInspection, "positionStd" | "spread" | "effectiveSpread"> {
	const { std, length, width } = features;
	const positionStd = Array.from({ length }, (_, l) => {
		const row = std.subarray(l * width, (l + 1) * width);
		return row.reduce((sum, value) => sum + value, 0) / width;
	});
	const varying = positionStd.filter((value) => value > 0);
	const effectiveSpread = varying.reduce((sum, value) => sum + value, 0) / Math.max(1, varying.length);
	return { positionStd, spread: features.spread, effectiveSpread };
}

function cosineMatrix(rows: Float32Array, count: number): number[][] {
	const width = rows.length / count;
	const dot = (a: number, b: number) => {
		let sum = 0;
		for (let i = 0; i < width; i++) sum += rows[a * width + i]! * rows[b * width + i]!;
		return sum;
	};
	const norms = Array.from({ length: count }, (_, k) => Math.max(Math.sqrt(dot(k, k)), 1e-12));
	return norms.map((a, i) => norms.map((b, j) => dot(i, j) / (a * b)));
}
