// The study's numbers.
import { fleissKappa } from "../statistics/agreement.js";
import { bootstrapInterval, type Interval } from "../statistics/bootstrap.js";
import { equalSharesTest } from "../statistics/chi-squared.js";
import { clusteredShares } from "../statistics/clustered-bootstrap.js";
import { multinomialTest } from "../statistics/multinomial.js";
import { wilsonInterval } from "../statistics/proportion.js";
import { SeededRandom } from "../statistics/random.js";
import { QUESTIONS, type Question, type Study, type StudyKey } from "./study-file.js";
import type { AnnotatorSummary, UnblindedStudy, Vote } from "./votes.js";

export interface MethodResult {
	readonly name: string;
	readonly label: string;
	readonly votes: number;
	readonly share: number;
	/** 95 %, as if all votes were independent. */
	readonly wilson: Interval;
	/** 95 %, of other annotators and other sets like these. */
	readonly bootstrap: Interval;
	/** In how many of the bootstrap's resamples it has the most votes. */
	readonly leads: number;
	/** Votes with those of annotators who were left out. */
	readonly votesOfEveryone: number;
}

export interface QuestionResult {
	readonly question: Question;
	readonly votes: number;
	/** In the order of the comparison. */
	readonly methods: readonly MethodResult[];
	/** Against equal shares; independent votes are assumed. */
	readonly multinomial: { readonly p: number; readonly method: "exact" | "chi-squared" };
	readonly chiSquared: { readonly statistic: number; readonly degrees: number; readonly p: number };
	/** Fleiss' κ over items, and its 95 % bootstrap interval over items; null where it is not defined. */
	readonly kappa: { readonly value: number; readonly interval: Interval | null; readonly items: number } | null;
	/** Votes by the place on the page, which is to make no difference, and the exact test that it does not. */
	readonly places: { readonly votes: readonly number[]; readonly p: number };
}

export interface StudyReport {
	readonly study: string;
	readonly title: string;
	readonly model: string;
	readonly created: string;
	readonly items: number;
	readonly checks: number;
	/** The rule for leaving annotators out, which the study was created with. */
	readonly allowedFailures: number;
	readonly resamples: number;
	readonly seed: number;
	readonly annotators: readonly AnnotatorSummary[];
	readonly questions: readonly QuestionResult[];
	/** Votes of each set (over its seeds) by question, in the order of the methods. */
	readonly sets: readonly { readonly set: string; readonly votes: Readonly<Record<Question, readonly number[]>> }[];
	readonly notes: readonly string[];
}

export interface AnalyseOptions {
	/** Of the bootstrap. Default 10,000. */
	readonly resamples?: number;
	/** Default 0. */
	readonly seed?: number;
}

/** Streams of the seed, a pair per question. */
const STREAMS = { shares: 0, kappa: 100 } as const;

const distinct = <T>(values: readonly T[]): T[] => [...new Set(values)];

/** How often each of the known values occurs. */
function counted<T>(values: readonly T[], known: readonly T[]): number[] {
	const counts = new Map<T, number>();
	for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
	return known.map((each) => counts.get(each) ?? 0);
}

function agreement(votes: readonly Vote[], methods: readonly string[], random: SeededRandom, resamples: number) {
	const items = grouped(votes);
	const table = [...items.values()].map((of) =>
		counted(
			of.map(({ method }) => method),
			methods,
		),
	);
	const value = fleissKappa(table);
	if (value === null) return null;
	let defined = true;
	const interval = bootstrapInterval(
		table.length,
		(indices) => {
			const kappa = fleissKappa([...indices].map((index) => table[index]!));
			if (kappa === null) defined = false;
			return kappa ?? 0;
		},
		random,
		{ resamples: Math.min(resamples, 2_000) },
	);
	return { value, interval: defined ? interval : null, items: table.length };
}

const itemOf = ({ set, seed }: Vote): string => `${set} ${seed}`;

function grouped(votes: readonly Vote[]): Map<string, Vote[]> {
	const groups = new Map<string, Vote[]>();
	for (const vote of votes) groups.set(itemOf(vote), [...(groups.get(itemOf(vote)) ?? []), vote]);
	return groups;
}

/** The numbers of a study. There must be a vote that counts. */
export function analyse(
	study: Study,
	key: StudyKey,
	{ annotators, votes, notes }: UnblindedStudy,
	{ resamples = 10_000, seed = 0 }: AnalyseOptions = {},
): StudyReport {
	const excluded = new Set(annotators.filter((each) => each.excluded).map(({ annotator }) => annotator));
	const counting = votes.filter(({ annotator }) => !excluded.has(annotator));
	const raters = distinct(counting.map(({ annotator }) => annotator));
	const sets = distinct(key.items.flatMap((item) => (item.kind === "judged" ? [item.set] : [])));
	const names = key.methods.map(({ name }) => name);
	const places = names.map((_, place) => place);
	const questions = QUESTIONS.map((question, number): QuestionResult => {
		const own = counting.filter((vote) => vote.question === question);
		const counts = counted(
			own.map(({ method }) => method),
			names,
		);
		const everyone = counted(
			votes.flatMap((vote) => (vote.question === question ? [vote.method] : [])),
			names,
		);
		const clustered = clusteredShares(
			own.map((vote) => ({
				rater: raters.indexOf(vote.annotator),
				thing: sets.indexOf(vote.set),
				category: names.indexOf(vote.method),
			})),
			{ raters: raters.length, things: sets.length, categories: names.length },
			new SeededRandom(seed, STREAMS.shares + number),
			resamples,
		);
		const byPlace = counted(
			own.map(({ place }) => place),
			places,
		);
		return {
			question,
			votes: own.length,
			methods: key.methods.map(({ name, label }, i) => ({
				name,
				label,
				votes: counts[i]!,
				share: counts[i]! / own.length,
				wilson: wilsonInterval(counts[i]!, own.length),
				bootstrap: clustered.intervals[i]!,
				leads: clustered.leads[i]!,
				votesOfEveryone: everyone[i]!,
			})),
			multinomial: multinomialTest(counts),
			chiSquared: equalSharesTest(counts)!,
			kappa: agreement(own, names, new SeededRandom(seed, STREAMS.kappa + number), resamples),
			places: { votes: byPlace, p: multinomialTest(byPlace).p },
		};
	});
	return {
		study: study.id,
		title: study.title,
		model: key.model,
		created: study.created,
		items: study.items.filter(({ kind }) => kind === "judged").length,
		checks: study.items.filter(({ kind }) => kind === "check").length,
		allowedFailures: study.allowedFailures,
		resamples,
		seed,
		annotators,
		questions,
		sets: sets.map((set) => {
			const ofQuestion = (question: Question) =>
				counted(
					counting.flatMap((vote) => (vote.set === set && vote.question === question ? [vote.method] : [])),
					names,
				);
			return {
				set,
				votes: {
					similarity: ofQuestion("similarity"),
					diversity: ofQuestion("diversity"),
					overall: ofQuestion("overall"),
				},
			};
		}),
		notes: [...remarks(raters.length, sets.length, excluded.size, study.allowedFailures), ...notes],
	};
}

function remarks(raters: number, sets: number, excluded: number, allowed: number): string[] {
	const notes = [
		"Wilson's intervals and the tests take votes for independent. The same people judge the same sets, so they are not: the bootstrap over annotators and sets is the interval to go by. “Leads” says in how many of its resamples a method has the most votes.",
	];
	if (raters < 5 || sets < 5)
		notes.push(
			`A bootstrap over ${raters} annotators and ${sets} sets is too narrow: it can't know more people and sets than these.`,
		);
	if (excluded > 0)
		notes.push(
			`${excluded} of the annotators failed more than ${allowed} attention checks and are left out, by the rule that the study was created with; “votes of everyone” counts them too.`,
		);
	return notes;
}
