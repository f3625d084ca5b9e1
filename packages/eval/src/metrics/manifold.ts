// Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020): which pictures lie in which neighbourhoods.
import { ArgumentError } from "@dreamdist/core";
import { checkPair, type FeatureSet } from "../features/feature-set.js";
import { eachRowOfProducts } from "../linear-algebra/products.js";
import { squaredLengths } from "./kernel-distances.js";

/** What is customary. */
const CUSTOMARY_NEIGHBOURS = 5;

/** The k that sets of these sizes allow: 5, or as many as there are other pictures but one; null where that is none. */
export function neighboursFor(real: number, generated: number): number | null {
	const k = Math.min(CUSTOMARY_NEIGHBOURS, Math.min(real, generated) - 2);
	return k >= 1 ? k : null;
}

/** Per picture, so that intervals can be made of them. */
export interface ManifoldReadings {
	readonly neighbours: number;
	/** Per generated picture: 1 where it lies in some real picture's neighbourhood. */
	readonly precision: Float64Array;
	/** Per generated picture: how many real pictures' neighbourhoods it lies in. */
	readonly density: Float64Array;
	/** Per real picture: 1 where it lies in some generated picture's neighbourhood. */
	readonly recall: Float64Array;
	/** Per real picture: 1 where some generated picture lies in its neighbourhood. */
	readonly coverage: Float64Array;
	/** The closest that any distance comes to a radius it is compared with, relatively. */
	readonly smallestGap: number;
}

export interface ManifoldScores {
	readonly precision: number;
	readonly recall: number;
	/** In neighbourhoods per neighbour; may exceed 1. */
	readonly density: number;
	readonly coverage: number;
}

/** Means over the pictures. */
export function manifoldScores({ neighbours, precision, recall, density, coverage }: ManifoldReadings): ManifoldScores {
	const mean = (values: Float64Array) => values.reduce((sum, value) => sum + value, 0) / values.length;
	return {
		precision: mean(precision),
		recall: mean(recall),
		density: (1 / neighbours) * mean(density),
		coverage: mean(coverage),
	};
}

/**
 * A picture's neighbourhood reaches to its k-th nearest other picture of its own set (Euclidean), and what lies on its border is outside.
 *
 * @throws ArgumentError when k neighbours are more than there are
 */
export function manifoldReadings(real: FeatureSet, generated: FeatureSet, k: number): ManifoldReadings {
	checkPair("precision and recall", real, generated, 2);
	if (!Number.isInteger(k) || k < 1 || k > Math.min(real.rows, generated.rows) - 1)
		throw new ArgumentError(`sets of ${real.rows} and ${generated.rows} pictures have no ${k} neighbours each`);
	const [realLengths, generatedLengths] = [squaredLengths(real), squaredLengths(generated)];
	const realRadius = neighbourDistances(real, realLengths, k);
	const generatedRadius = neighbourDistances(generated, generatedLengths, k);
	const precision = new Float64Array(generated.rows);
	const density = new Float64Array(generated.rows);
	const recall = new Float64Array(real.rows);
	const coverage = new Float64Array(real.rows);
	let smallestGap = Number.POSITIVE_INFINITY;
	eachRowOfProducts(real.data, generated.data, real.width, (i, row) => {
		for (let j = 0; j < generated.rows; j++) {
			const squared = squaredDistance(realLengths[i]!, generatedLengths[j]!, row[j]!);
			for (const radius of [realRadius[i]!, generatedRadius[j]!])
				smallestGap = Math.min(smallestGap, Math.abs(Math.sqrt(squared) / Math.sqrt(radius) - 1));
			if (squared < realRadius[i]!) {
				precision[j] = 1;
				density[j]!++;
				coverage[i] = 1;
			}
			if (squared < generatedRadius[j]!) recall[i] = 1;
		}
	});
	return { neighbours: k, precision, density, recall, coverage, smallestGap };
}

/** |x − y|² from |x|², |y|² and x·y. */
const squaredDistance = (xx: number, yy: number, xy: number) => Math.max(0, xx + yy - 2 * xy);

/** Squared distance of each row to its k-th nearest other row. */
function neighbourDistances(set: FeatureSet, lengths: Float64Array, k: number): Float64Array {
	const out = new Float64Array(set.rows);
	eachRowOfProducts(set.data, set.data, set.width, (i, row) => {
		const distances = row.map((product, j) => squaredDistance(lengths[i]!, lengths[j]!, product));
		distances[i] = Number.POSITIVE_INFINITY;
		out[i] = distances.sort()[k - 1]!;
	});
	return out;
}
