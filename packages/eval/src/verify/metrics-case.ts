import { type CaseKind, relativeError, type VerifyCase } from "@dreamdist/models";
import { z } from "zod";
import { type FeatureSet, featureSet } from "../features/feature-set.js";
import { frechetDistance } from "../metrics/frechet.js";
import { gaussianDistance, kernelDistance, kernelDistanceOfSubsets } from "../metrics/kernel-distances.js";
import { manifoldReadings, manifoldScores } from "../metrics/manifold.js";
import { likeness, selfLikeness, vendiScore } from "../metrics/similarity.js";

const BOUND = 1e-6;
/** Counts divided by counts: exact but for the order of the divisions, whereas one count more or less moves a share by more than 1e-9. */
const COUNT_BOUND = 1e-12;
/** Of the square root of a singular product, which is partly rounding. */
const SQUARE_ROOT_BOUND = 1e-5;

const counts = z.object({ precision: z.number(), recall: z.number(), density: z.number(), coverage: z.number() });
const schema = z.record(z.string(), z.unknown());

const meanOf = (values: Float64Array) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Values of metrics between two sets of features. */
export const metricsCase: CaseKind = async (one) => {
	const expected = schema.parse(one.attributes.expected);
	const read = async (name: string): Promise<FeatureSet> => {
		const { data, shape } = await one.input(name);
		return featureSet(data, shape[1]!);
	};
	const real = await read("real");
	const fake = await read("fake");
	const frechet = frechetDistance(real, fake);
	const { mean, nearest } = likeness(real, fake);
	const values: Record<string, () => number> = {
		fid: () => frechet.distance,
		fid_mean_term: () => frechet.meanTerm,
		fid_trace_sqrt: () => frechet.traceSqrt,
		kid_full: () => kernelDistance(real, fake),
		cmmd: () => gaussianDistance(real, fake),
		cmmd_unnormalised_input: () => gaussianDistance(real, fake, { normalize: false }),
		vendi_real: () => vendiScore(real),
		vendi_fake: () => vendiScore(fake),
		cosine_real_fake: () => meanOf(mean),
		cosine_real_real: () => selfLikeness(real),
		cosine_fake_fake: () => selfLikeness(fake),
		nearest_real_cosine_max: () => nearest.reduce((a, b) => Math.max(a, b)),
		nearest_real_cosine_mean: () => meanOf(nearest),
	};
	let gap = Number.POSITIVE_INFINITY;
	for (const [name, value] of Object.entries(expected)) {
		const neighbours = name.match(/^prdc_k(\d+)$/)?.[1];
		if (neighbours) {
			const readings = manifoldReadings(real, fake, Number(neighbours));
			const scores = manifoldScores(readings);
			gap = Math.min(gap, readings.smallestGap);
			for (const [metric, number] of Object.entries(counts.parse(value)))
				compare(one, `${name} ${metric}`, scores[metric as keyof typeof scores], number, COUNT_BOUND);
		} else if (name === "kid_subsets") await compareSubsets(one, real, fake, value);
		else if (name === "fid_sqrtm") compare(one, name, frechet.distance, value, SQUARE_ROOT_BOUND);
		else if (name !== "smallest_relative_gap") {
			const compute = values[name];
			if (compute) compare(one, name, compute(), value, BOUND);
			else one.note({ what: name, error: 1, bound: 0, detail: `there is no metric "${name}"` });
		}
	}
	if ("smallest_relative_gap" in expected)
		compare(one, "smallest_relative_gap", gap, expected.smallest_relative_gap, BOUND);
};

function compare(one: VerifyCase, what: string, actual: number, expected: unknown, bound: number): void {
	one.note({ what, error: relativeError([actual], [Number(expected)]), bound });
}

async function compareSubsets(one: VerifyCase, real: FeatureSet, fake: FeatureSet, value: unknown): Promise<void> {
	const expected = z.looseObject({ mean: z.number(), std: z.number() }).parse(value);
	const members = await one.input("kid_index_real");
	const { mean, std } = kernelDistanceOfSubsets(real, fake, {
		real: members.data,
		generated: (await one.input("kid_index_fake")).data,
		size: members.shape[1]!,
	});
	compare(one, "kid_subsets mean", mean, expected.mean, BOUND);
	compare(one, "kid_subsets std", std, expected.std, BOUND);
}

/** The kinds of cases that this package can check, to be given to `verifySet` with those of models. */
export const METRIC_CASE_KINDS: Readonly<Record<string, CaseKind>> = { metrics: metricsCase };
