// Intervals by resampling (Efron and Tibshirani 1993).
import type { SeededRandom } from "./random.js";

/** 95 % interval. */
export type Interval = readonly [low: number, high: number];

const TAIL = 0.025;

/** The value that a share `q` of the sorted values lies below, between two of them by proportion. */
export function quantile(sorted: ArrayLike<number>, q: number): number {
	const at = q * (sorted.length - 1);
	const low = Math.floor(at);
	const high = Math.min(sorted.length - 1, low + 1);
	return sorted[low]! + (sorted[high]! - sorted[low]!) * (at - low);
}

/**
 * The interval of a statistic of n pictures drawn again with repeats.
 *
 * @param options centred: shift the interval so that the resamples' mean stands at the statistic itself, for one that repeats alone push to
 *   one side (distances of distributions, the Vendi score)
 */
export function bootstrapInterval(
	n: number,
	statistic: (indices: Int32Array) => number,
	random: SeededRandom,
	{ resamples, centred = false }: { resamples: number; centred?: boolean },
): Interval {
	const values = Float64Array.from({ length: resamples }, () => statistic(random.resample(n))).sort();
	const [low, high] = [quantile(values, TAIL), quantile(values, 1 - TAIL)];
	if (!centred) return [low, high];
	const mean = values.reduce((sum, value) => sum + value, 0) / resamples;
	const shift = statistic(Int32Array.from({ length: n }, (_, i) => i)) - mean;
	return [low + shift, high + shift];
}

/** The interval of a mean over pictures. */
export function meanInterval(values: ArrayLike<number>, random: SeededRandom, resamples: number): Interval {
	const mean = (indices: Int32Array) => indices.reduce((sum, i) => sum + values[i]!, 0) / indices.length;
	return bootstrapInterval(values.length, mean, random, { resamples });
}
