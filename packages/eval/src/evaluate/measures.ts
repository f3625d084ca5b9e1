// Metrics of one set of generated pictures, each with its interval where one can be had.
import type { FeatureSet } from "../features/feature-set.js";
import { normalizedRows } from "../features/feature-set.js";
import { frechetDistance } from "../metrics/frechet.js";
import { gaussianDistance, kernelDistance, kernelDistanceOfSubsets } from "../metrics/kernel-distances.js";
import { type ManifoldReadings, manifoldReadings, manifoldScores, neighboursFor } from "../metrics/manifold.js";
import { productsOf, ResampledKernel, resampledFrechet, resampledPairs, resampledVendi } from "../metrics/resampled.js";
import { likeness, vendiScore } from "../metrics/similarity.js";
import { bootstrapInterval, type Interval, meanInterval } from "../statistics/bootstrap.js";
import type { SeededRandom } from "../statistics/random.js";

export interface Measured {
	readonly value: number;
	/** 95 %, over the generated pictures; the real ones are taken as they are. Null for fewer than three pictures, and where resampling would take too long. */
	readonly interval: Interval | null;
	/** Further numbers by name. */
	readonly detail?: Readonly<Record<string, number>>;
}

/** Larger sets have no resampled distances: each would cost as much as the first. */
const RESAMPLED_AT_MOST = 400;
/** Fewer pictures resampled are hardly ever others. */
const RESAMPLED_AT_LEAST = 3;
/** Resamples of a mean, and of what takes a decomposition each. */
const MEANS = 1000;
const DECOMPOSITIONS = 200;
/** KID's customary subsets. */
const SUBSETS = 100;
const SUBSET_SIZE = 1000;

const isSmall = (real: FeatureSet, generated: FeatureSet) =>
	Math.max(real.rows, generated.rows) <= RESAMPLED_AT_MOST && generated.rows >= RESAMPLED_AT_LEAST;

/** A distance is never below 0; shifting its interval, and rounding, may be. */
const notBelowZero = ([low, high]: Interval): Interval => [Math.max(0, low), Math.max(0, high)];

export function measureFrechet(real: FeatureSet, generated: FeatureSet, random: SeededRandom): Measured {
	const { distance, meanTerm } = frechetDistance(real, generated);
	const value = Math.max(0, distance);
	if (!isSmall(real, generated)) return { value, interval: null, detail: { meanTerm } };
	const products = productsOf(real, generated);
	// Fewer than two different pictures have no covariance.
	const statistic = (indices: Int32Array) => resampledFrechet(products, indices);
	const interval = bootstrapInterval(generated.rows, statistic, random, { resamples: DECOMPOSITIONS, centred: true });
	return { value, interval: notBelowZero(interval), detail: { meanTerm } };
}

/** Over all pictures; from 1,000 of each on, over subsets as it is customary. */
export function measureKid(real: FeatureSet, generated: FeatureSet, random: SeededRandom): Measured {
	if (Math.min(real.rows, generated.rows) >= SUBSET_SIZE) {
		const draw = (rows: number) =>
			Array.from({ length: SUBSETS }, () => random.shuffle(rows).slice(0, SUBSET_SIZE)).flat();
		const { mean, std } = kernelDistanceOfSubsets(real, generated, {
			real: draw(real.rows),
			generated: draw(generated.rows),
			size: SUBSET_SIZE,
		});
		return { value: mean, interval: null, detail: { std, subsets: SUBSETS, subsetSize: SUBSET_SIZE } };
	}
	const value = kernelDistance(real, generated);
	if (!isSmall(real, generated)) return { value, interval: null };
	const products = productsOf(real, generated);
	const kernel = (values: Float64Array) => values.map((product) => (product / real.width + 1) ** 3);
	return { value, interval: kernelInterval(products, kernel, false, random) };
}

export function measureCmmd(real: FeatureSet, generated: FeatureSet, random: SeededRandom): Measured {
	const value = gaussianDistance(real, generated);
	if (!isSmall(real, generated)) return { value, interval: null };
	const products = productsOf(normalizedRows(real), normalizedRows(generated));
	// Of unit vectors, |x − y|² = 2 − 2 x·y; the kernel is exp(−|x − y|² / 200).
	const kernel = (values: Float64Array) => values.map((product) => 1000 * Math.exp((product - 1) / 100));
	return { value, interval: notBelowZero(kernelInterval(products, kernel, true, random)) };
}

function kernelInterval(
	{ n, m, real, between, generated }: ReturnType<typeof productsOf>,
	kernel: (products: Float64Array) => Float64Array,
	biased: boolean,
	random: SeededRandom,
): Interval {
	const resampled = new ResampledKernel(n, m, kernel(real), kernel(between), kernel(generated), biased);
	const options = { resamples: MEANS, centred: biased };
	return bootstrapInterval(m, (indices) => resampled.distance(indices), random, options);
}

/** Mean cosine to all real pictures (CLIP-I, DINO). */
export function measureLikeness(real: FeatureSet, generated: FeatureSet, random: SeededRandom): Measured {
	return measureMean(likeness(real, generated).mean, random);
}

export function measureMean(values: Float64Array, random: SeededRandom): Measured {
	const value = values.reduce((sum, each) => sum + each, 0) / values.length;
	return { value, interval: values.length < RESAMPLED_AT_LEAST ? null : meanInterval(values, random, MEANS) };
}

export function measureMemorisation(real: FeatureSet, generated: FeatureSet, random: SeededRandom): Measured {
	const { nearest } = likeness(real, generated);
	const largest = (values: ArrayLike<number>, indices: Int32Array) =>
		indices.reduce((most, i) => Math.max(most, values[i]!), -1);
	const { value: mean } = measureMean(nearest, random);
	const all = Int32Array.from(nearest, (_, i) => i);
	const own = real.rows > 1 ? nearestAmong(real) : Number.NaN;
	return {
		value: largest(nearest, all),
		interval: null,
		detail: { mean, ...(Number.isFinite(own) && { largestAmongReal: own }) },
	};
}

/** The largest cosine between two different pictures of a set. */
function nearestAmong(set: FeatureSet): number {
	let most = -1;
	const { data, width, rows } = normalizedRows(set);
	for (let i = 0; i < rows; i++)
		for (let j = 0; j < i; j++) {
			let sum = 0;
			for (let k = 0; k < width; k++) sum += data[i * width + k]! * data[j * width + k]!;
			most = Math.max(most, sum);
		}
	return most;
}

export type ManifoldMetric = "precision" | "recall" | "density" | "coverage";

/** Null where there are too few pictures for any neighbourhood. */
export function readManifold(real: FeatureSet, generated: FeatureSet): ManifoldReadings | null {
	const k = neighboursFor(real.rows, generated.rows);
	return k === null ? null : manifoldReadings(real, generated, k);
}

export function measureManifold(readings: ManifoldReadings, metric: ManifoldMetric, random: SeededRandom): Measured {
	const k = readings.neighbours;
	const values = metric === "density" ? readings.density.map((count) => count / k) : readings[metric];
	const { interval } = measureMean(values, random);
	return { value: manifoldScores(readings)[metric], interval, detail: { k } };
}

export function measureVendi(generated: FeatureSet, random: SeededRandom): Measured {
	const value = vendiScore(generated);
	if (generated.rows > RESAMPLED_AT_MOST || generated.rows < RESAMPLED_AT_LEAST) return { value, interval: null };
	const { generated: cosines, m } = productsOf(normalizedRows(generated), normalizedRows(generated));
	const statistic = (indices: Int32Array) => resampledVendi(cosines, m, indices);
	const options = { resamples: DECOMPOSITIONS, centred: true };
	return { value, interval: bootstrapInterval(m, statistic, random, options) };
}

/** @param matrix distances [m, m], or null where only some pairs were measured */
export function measurePairs(
	distances: Float64Array,
	matrix: Float64Array | null,
	m: number,
	random: SeededRandom,
): Measured {
	const value = distances.reduce((sum, each) => sum + each, 0) / distances.length;
	const detail = { pairs: distances.length };
	if (!matrix || m < RESAMPLED_AT_LEAST) return { value, interval: null, detail };
	const statistic = (indices: Int32Array) => resampledPairs(matrix, m, indices);
	return { value, interval: bootstrapInterval(m, statistic, random, { resamples: MEANS }), detail };
}
