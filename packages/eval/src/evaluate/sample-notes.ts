// What numbers of few pictures do and do not say.
import type { EvaluatedSet } from "./evaluate.js";
import { type MetricName, metricRow } from "./metric-table.js";

/** Features that a distance's covariances are of, at most. */
const FEATURES = 2048;
/** From here on a precision or coverage moves by less than a hundredth with one picture. */
const MANY = 100;

/** What a set has too few pictures for, in sentences by how many are needed. */
export function tooFewPictures(
	real: number,
	{ name, pictures }: EvaluatedSet,
	wanted: readonly MetricName[],
): string[] {
	const lacking = new Map<string, string[]>();
	for (const metric of wanted) {
		const { needs, title } = metricRow(metric);
		if (!needs || (real >= needs.real && pictures >= needs.generated)) continue;
		const both =
			needs.real > 1 ? `${needs.real} real and ${needs.generated} generated` : `${needs.generated} generated`;
		lacking.set(both, [...(lacking.get(both) ?? []), title]);
	}
	return [...lacking].map(
		([needed, titles]) =>
			`Not measured for ${name}, which has ${pictures} pictures to ${real} real ones: ${titles.join(", ")}, for which at least ${needed} pictures are needed.`,
	);
}

/** Sentences for the report, about the sizes of the sets. */
export function sampleNotes(
	real: number,
	sets: readonly EvaluatedSet[],
	options: { ownInstruments: boolean; wanted: readonly MetricName[] },
): string[] {
	const notes: string[] = [];
	if (options.ownInstruments)
		notes.push(
			"Measured with a model's own classifier and encoders: these numbers compare sets with one another, and can't be compared with those of the public encoders.",
		);
	const fewest = Math.min(real, ...sets.map(({ pictures }) => pictures));
	const distances = sets.some(({ metrics }) => metrics.fid ?? metrics["fd-dinov2"]);
	if (distances && fewest < FEATURES)
		notes.push(
			`Fréchet distances of so few pictures (${real} real) are far larger than those of many would be: compare them only at the same counts, here or in another report. KID has no such bias.`,
		);
	const readings = sets.map(
		({ metrics }) => metrics.precision ?? metrics.density ?? metrics.recall ?? metrics.coverage,
	);
	const neighbours = [...new Set(readings.flatMap((each) => each?.detail?.k ?? []))];
	if (neighbours.length > 0 && (neighbours.some((k) => k !== 5) || fewest < MANY))
		notes.push(
			`Precision, recall, density and coverage used k = ${neighbours.join(", ")} neighbours${neighbours.some((k) => k < 5) ? " (5 where there are 7 pictures or more, else two fewer than there are)" : ""}; with ${real} real pictures, recall and coverage move in steps of ${(1 / real).toPrecision(2)}.`,
		);
	notes.push(...sets.flatMap((set) => tooFewPictures(real, set, options.wanted)));
	if (sets.some(({ metrics }) => Object.values(metrics).some((each) => each.interval)))
		notes.push(
			"Intervals are 95 % bootstrap intervals over the generated pictures with the real ones as they are (recall's and coverage's: over the real ones): they do not say how another choice of references would score.",
		);
	return notes;
}
