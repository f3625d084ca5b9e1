// What a comparison leaves to read: table.md, results.json, figure.png and a page with all of it.
import { join } from "node:path";
import { contactSheet, type ImageU8, readImage, writeFileAtomic, writePng } from "@dreamdist/core";
import { escaped, page } from "../report/html.js";
import { thumbnailOf } from "../report/thumbnails.js";
import type { ComparisonFile } from "./comparison-file.js";
import { type ComparisonTable, comparisonTable, formatEntry, leadSentences, tableMarkdown } from "./table.js";

export const REPORT_FILES = {
	table: "table.md",
	results: "results.json",
	figure: "figure.png",
	page: "index.html",
} as const;

/** Pictures of each set and method in the figure, and their side. */
const SHOWN = 3;
const SIDE = 96;

/** A sheet like the paper's Figure 3: a row per set, its references and then the pictures of each method. */
export async function comparisonFigure(folder: string, comparison: ComparisonFile): Promise<ImageU8> {
	const small = async (file: string) => thumbnailOf(await readImage(join(folder, file)), SIDE);
	const [seed] = comparison.seeds;
	const rows: (ImageU8 | undefined)[][] = [];
	for (const { name, references } of comparison.sets) {
		const row: (ImageU8 | undefined)[] = [];
		for (let i = 0; i < SHOWN; i++) {
			const reference = references[i];
			row.push(reference === undefined ? undefined : await small(reference));
		}
		for (const { name: method } of comparison.methods) {
			const cell = comparison.cells.find((each) => each.set === name && each.method === method && each.seed === seed);
			const isDone = cell?.state === "done";
			for (let i = 0; i < SHOWN; i++)
				row.push(
					isDone
						? await small(`${cell.folder}/pictures/${String(i).padStart(4, "0")}.png`).catch(() => undefined)
						: undefined,
				);
		}
		rows.push(row);
	}
	const heads = ["References", ...comparison.methods.map(({ label }) => label)];
	const { image } = await contactSheet(rows, {
		columnLabels: heads.flatMap((head) => Array.from({ length: SHOWN }, (_, i) => (i === 0 ? head : ""))),
		rowLabels: comparison.sets.map(({ name }) => name),
		gap: 4,
	});
	return image;
}

function renderPage(comparison: ComparisonFile, table: ComparisonTable): string {
	const { columns, rows, leads, notes, done, cells } = table;
	const arrow = (better: string) => (better === "lower" ? " ↓" : better === "higher" ? " ↑" : "");
	const isBest = (metric: string, method: string) =>
		leads.some((lead) => lead.metric === metric && lead.method === method);
	const head = columns.map(({ title, better }) => `<th>${escaped(title)}${arrow(better)}</th>`).join("");
	const body = rows
		.map(({ method, label, values }) => {
			const own = columns.map(
				({ name }) => `<td${isBest(name, method) ? ' class="best"' : ""}>${formatEntry(values[name])}</td>`,
			);
			return `<tr><th>${escaped(label)}</th>${own.join("")}</tr>`;
		})
		.join("");
	const list = (items: readonly string[]) => `<ul>${items.map((item) => `<li>${escaped(item)}</li>`).join("")}</ul>`;
	return page(
		`Methods on ${comparison.model}`,
		`<p>${comparison.sets.length} sets, ${comparison.methods.length} methods, ${comparison.seeds.length} seed${comparison.seeds.length > 1 ? "s" : ""}; ${done} of ${cells} cells done.</p>
<div class="scroll"><table><tr><th></th>${head}</tr>${body}</table></div>
<p class="soft">Mean ± standard deviation over the sets.</p>
${list(leadSentences(table))}
<h2>Pictures</h2><div class="scroll"><img src="${REPORT_FILES.figure}" alt="References and pictures of every method, a row per set" style="max-width: none; max-height: none"></div>
<h2>Notes</h2>${list(notes)}
<h2>Settings</h2><details><summary>All of them</summary><pre>${escaped(JSON.stringify(comparison.settings, null, 2))}</pre></details>`,
	);
}

/** Writes all of it. @returns the table */
export async function writeComparisonReport(folder: string, comparison: ComparisonFile): Promise<ComparisonTable> {
	const table = await comparisonTable(folder, comparison);
	await writePng(join(folder, REPORT_FILES.figure), await comparisonFigure(folder, comparison));
	await writeFileAtomic(join(folder, REPORT_FILES.table), tableMarkdown(table));
	await writeFileAtomic(join(folder, REPORT_FILES.results), `${JSON.stringify(table, null, "\t")}\n`);
	await writeFileAtomic(join(folder, REPORT_FILES.page), renderPage(comparison, table));
	return table;
}
