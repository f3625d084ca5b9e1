// Measurements as tables of Markdown, for docs and the model card.
import type { DistributionFigures, MethodMeasurements, SetMeasurements } from "./measure-method.js";
import type { ModelMeasurements } from "./measure-model.js";
import { rises } from "./set-figures.js";

const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
const average = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
	const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
	return [line(header), line(header.map((_, i) => (i === 0 ? "---" : "---:"))), ...rows.map(line)].join("\n");
}

/** What a model's networks do on held-out scenes. */
export function modelTable(result: ModelMeasurements): string {
	const attributes = Object.keys(result.generated) as (keyof typeof result.generated)[];
	const { generated, real } = result.frechet;
	const reading = table(
		["read right", "of pictures", "of the scenes themselves"],
		attributes.map((name) => [name, percent(result.generated[name]), percent(result.real[name])]),
	);
	const others = table(
		["", "value"],
		[
			["Fréchet distance of the pictures to the scenes", generated.toFixed(2)],
			["of as many other scenes", real.toFixed(2)],
			["ratio", (generated / real).toFixed(2)],
			["autoencoder, PSNR on held-out scenes", `${result.psnr.toFixed(2)} dB`],
			[`retrieval of the right picture among ${result.retrievalCaptions}`, percent(result.retrieval)],
		],
	);
	return `${result.captions} held-out captions, one picture each.\n\n${reading}\n\n${others}`;
}

const orDash = (share: number | null) => (share === null ? "–" : percent(share));

function setRow({ set, real, scales, single, edits }: SetMeasurements): string[] {
	const learned = scales.find(({ gamma }) => gamma === 1)!.figures;
	const edit = (name: string) => {
		const found = edits.find((each) => each.edit === name);
		return found ? `${percent(found.changed)} / ${percent(found.kept)}` : "–";
	};
	return [
		set,
		orDash(learned.fixed),
		orDash(single.fixed),
		percent(learned.support),
		`${percent(learned.coverage)} (${percent(real.coverage)})`,
		scales.map(({ figures }) => (figures.diversity / real.diversity).toFixed(2)).join(" → "),
		(single.diversity / real.diversity).toFixed(2),
		edit("in chalk"),
		edit("at sea"),
	];
}

function summary({ sets, mixes }: MethodMeasurements): string {
	const learned = sets.map(({ scales }) => scales.find(({ gamma }) => gamma === 1)!.figures);
	const fixed = learned.flatMap((figures) => figures.fixed ?? []);
	const edits = sets.flatMap((set) => set.edits);
	const monotone = sets.filter(({ scales }) => rises(scales.map(({ figures }) => figures.diversity))).length;
	const more = sets.filter(({ single }, i) => learned[i]!.diversity > single.diversity).length;
	const better = sets.filter(({ single }, i) => learned[i]!.support >= single.support).length;
	const moving = mixes.filter(({ leaning }) => rises(leaning.map(({ value }) => value))).length;
	const share = ({ real }: SetMeasurements, figures: DistributionFigures) => figures.diversity / real.diversity;
	const byScale = sets[0]!.scales.map((_, i) =>
		average(sets.map((set) => share(set, set.scales[i]!.figures))).toFixed(2),
	);
	const alone = average(sets.map((set) => share(set, set.single))).toFixed(2);
	const within = percent(average(learned.map(({ support }) => support)));
	const withinAlone = percent(average(sets.map(({ single }) => single.support)));
	return [
		`- Attributes that a set shares are read right in ${percent(average(fixed))} of its pictures, on average over the sets.`,
		`- Diversity rises from γ 0 over 1 to 2 in ${monotone} of ${sets.length} sets; on average it is ${byScale.join(", ")}.`,
		`- Against one learned prompt, diversity is higher in ${more} of ${sets.length} sets (${alone} on average) and attributes within the set's are as many or more in ${better} (${within} on average, of one prompt ${withinAlone}).`,
		`- Mixes move from the first set's attributes to the second's without a step back in ${moving} of ${mixes.length} pairs.`,
		...(edits.length > 0
			? [
					`- Edits change the named attribute in ${percent(average(edits.map(({ changed }) => changed)))} of pictures and keep a subject of the set's in ${percent(average(edits.map(({ kept }) => kept)))}.`,
				]
			: []),
	].join("\n");
}

/** What learned distributions do, set by set. */
export function methodTables(result: MethodMeasurements): string {
	const { pictures, steps, prompts, guidance, sets, mixes } = result;
	const header = [
		"set",
		"shared, right",
		"same, K = 1",
		"within the set's",
		"values covered (real)",
		"diversity at γ 0 → 1 → 2",
		"same, K = 1",
		"in chalk: changed / subject kept",
		"at sea: changed / subject kept",
	];
	const perSet = table(header, sets.map(setRow));
	const weights = mixes[0]?.leaning.map(({ weight }) => String(weight)) ?? [];
	const perMix = table(
		["first, second", ...weights],
		mixes.map(({ first, second, leaning }) => [`${first}, ${second}`, ...leaning.map(({ value }) => value.toFixed(2))]),
	);
	return `${pictures} pictures of each, painted with guidance ${guidance}; ${prompts} prompts learned in ${steps} steps, from words that name the set's subjects.

${summary(result)}

Diversity is the mean distance of two pictures in the classifier's features, as a share of real scenes' of the set; "K = 1" is one prompt learned at the same steps.

${perSet}

How far mixes lean to the second set (0: the first's attributes, 1: the second's), by its weight:

${perMix}`;
}
