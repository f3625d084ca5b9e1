// The study's report as Markdown, and its votes as a table for other programs.
import type { QuestionResult, StudyReport } from "./analyse.js";
import type { AnnotatorSummary, Vote } from "./votes.js";
import { percent, probability, QUESTION_TITLES } from "./wording.js";

/** The sentence below a question's table. */
export function findings({ multinomial, chiSquared, kappa, places }: QuestionResult): string {
	const test = `Against equal shares: multinomial test p ${probability(multinomial.p)} (${multinomial.method === "exact" ? "exact" : "χ² approximation"}), χ²(${chiSquared.degrees}) = ${chiSquared.statistic.toFixed(2)}, p ${probability(chiSquared.p)}.`;
	const range = kappa?.interval ? ` (${kappa.interval[0].toFixed(3)} to ${kappa.interval[1].toFixed(3)})` : "";
	const agreeing = kappa
		? `Fleiss’ κ ${kappa.value.toFixed(3)}${range} over ${kappa.items} items.`
		: "Fleiss’ κ is not defined for these votes.";
	return `${test} ${agreeing} Votes by place on the page: ${places.votes.join(", ")}; p ${probability(places.p)}.`;
}

export const METHOD_COLUMNS = [
	"method",
	"votes",
	"share",
	"Wilson",
	"bootstrap",
	"leads",
	"votes of everyone",
] as const;

/** The cells of a question's table, a row per method. */
export function methodRows({ methods }: QuestionResult): string[][] {
	return methods.map(({ label, votes, share, wilson, bootstrap, leads, votesOfEveryone }) => [
		label,
		String(votes),
		percent(share),
		`${percent(wilson[0])} to ${percent(wilson[1])}`,
		`${percent(bootstrap[0])} to ${percent(bootstrap[1])}`,
		percent(leads),
		String(votesOfEveryone),
	]);
}

export const ANNOTATOR_COLUMNS = [
	"annotator",
	"answered",
	"skipped",
	"open",
	"changed",
	"checks passed",
	"checks failed",
	"median seconds",
	"counts",
] as const;

export function annotatorRow(summary: AnnotatorSummary): string[] {
	const { annotator, answered, skipped, open, changed, passed, failed, medianSeconds, excluded } = summary;
	const seconds = medianSeconds === null ? "–" : medianSeconds.toFixed(1);
	const numbers = [answered, skipped, open, changed, passed, failed].map(String);
	return [annotator, ...numbers, seconds, excluded ? "no" : "yes"];
}

/** Text as one cell: nothing in it is Markdown or HTML. */
const cell = (text: string) => text.replace(/[\\|`*_<>[\]]/g, (sign) => `\\${sign}`).replace(/\s+/g, " ");

function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
	const line = (cells: readonly string[]) => `| ${cells.map(cell).join(" | ")} |`;
	return [line(columns), `|${columns.map(() => "---|").join("")}`, ...rows.map(line)].join("\n");
}

export function studyMarkdown(report: StudyReport): string {
	const counting = report.annotators.filter(({ excluded }) => !excluded).length;
	const parts = report.questions.map(
		(question) => `## ${QUESTION_TITLES[question.question]}: ${question.votes} votes

${table(METHOD_COLUMNS, methodRows(question))}

${findings(question)}`,
	);
	return `# ${cell(report.title)}

${report.items} items, ${report.annotators.length} annotators, ${counting} of whom count. Intervals are 95 %; the bootstrap is of ${report.resamples} resamples of annotators and sets.

${parts.join("\n\n")}

## Annotators

${table(ANNOTATOR_COLUMNS, report.annotators.map(annotatorRow))}

${report.notes.map((note) => `- ${note}`).join("\n")}
`;
}

/** Every vote, unblinded. */
export function votesCsv(votes: readonly Vote[], annotators: readonly AnnotatorSummary[]): string {
	const counts = new Map(annotators.map(({ annotator, excluded }) => [annotator, excluded ? "no" : "yes"]));
	const field = (value: string | number) =>
		/[",\n\r]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : value;
	const rows = votes.map((vote) =>
		[
			vote.annotator,
			counts.get(vote.annotator)!,
			vote.set,
			vote.seed,
			vote.question,
			vote.method,
			vote.place + 1,
			vote.milliseconds,
			vote.at,
		]
			.map(field)
			.join(","),
	);
	return `${["annotator,counts,set,seed,question,method,place,milliseconds,at", ...rows].join("\n")}\n`;
}
