// The study's report as a page that opens from disk.
import { escaped, page } from "../report/html.js";
import type { StudyReport } from "./analyse.js";
import { studyChart } from "./chart.js";
import { ANNOTATOR_COLUMNS, annotatorRow, findings, METHOD_COLUMNS, methodRows } from "./report-text.js";
import { QUESTIONS } from "./study-file.js";
import { QUESTION_TITLES } from "./wording.js";

function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
	const line = (tag: string, cells: readonly string[]) =>
		`<tr>${cells.map((cell) => `<${tag}>${escaped(cell)}</${tag}>`).join("")}</tr>`;
	return `<div class="scroll"><table>${line("th", columns)}${rows.map((row) => line("td", row)).join("")}</table></div>`;
}

function setsTable({ sets, questions }: StudyReport): string {
	const labels = questions[0]!.methods.map(({ label }) => label);
	const rows = sets.flatMap(({ set, votes }) =>
		QUESTIONS.map((question, i) => [i === 0 ? set : "", QUESTION_TITLES[question], ...votes[question].map(String)]),
	);
	return table(["set", "question", ...labels], rows);
}

export function studyPage(report: StudyReport): string {
	const counting = report.annotators.filter(({ excluded }) => !excluded).length;
	const questions = report.questions.map(
		(question) => `<h2>${escaped(QUESTION_TITLES[question.question])}</h2>
${table(METHOD_COLUMNS, methodRows(question))}<p class="soft">${escaped(findings(question))}</p>`,
	);
	const body = `<p>${report.items} items of ${report.questions[0]!.methods.length} grids; ${report.annotators.length} annotators, ${counting} of whom count. Pictures made with ${escaped(report.model)}.</p>
<div class="chart">${studyChart(report)}</div>
<p class="soft">Bars: share of the votes. Whiskers: 95 % bootstrap intervals over annotators and sets (${report.resamples} resamples). Dashed: what chance gives.</p>
<ul class="soft">${report.notes.map((note) => `<li>${escaped(note)}</li>`).join("")}</ul>
${questions.join("\n")}
<h2>Sets</h2>${setsTable(report)}
<h2>Annotators</h2>${table(ANNOTATOR_COLUMNS, report.annotators.map(annotatorRow))}
<p class="soft">Also here: <a href="report.json">report.json</a>, <a href="report.md">report.md</a>, <a href="votes.csv">votes.csv</a>, <a href="chart.svg">chart.svg</a>.</p>`;
	return page(report.title, body);
}
