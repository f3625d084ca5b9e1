// What a comparison leaves to read: table.md, results.json, figure.png and a page with all of it.
import { join } from "node:path";
import { contactSheet, type ImageU8, readImage, writeFileAtomic, writePng } from "@dreamdist/core";
import { escaped, page } from "../report/html.js";
import { thumbnailOf } from "../report/thumbnails.js";
import type { ComparisonFile } from "./comparison-file.js";
import {
	type ComparisonTable,
	comparisonTable,
	formatEntry,
	isLeading,
	leadSentences,
	readCellMetrics,
	tableMarkdown,
} from "./table.js";

export const REPORT_FILES = {
	table: "table.md",
	results: "results.json",
	figure: "figure.png",
	page: "index.html",
} as const;

/** Pictures of each set and method in the figure, and their side. */
const SHOWN = 4;
const SIDE = 96;
const GAP = 3;

/** Pictures side by side, as one cell of the figure; undefined where there are none. */
async function strip(folder: string, files: readonly string[]): Promise<ImageU8 | undefined> {
	const pictures: ImageU8[] = [];
	for (const file of files.slice(0, SHOWN)) pictures.push(thumbnailOf(await readImage(join(folder, file)), SIDE));
	return pictures.length === 0 ? undefined : (await contactSheet([pictures], { gap: GAP })).image;
}

/** A sheet like the paper's Figure 3: a row per set, its references and then the pictures of each method. */
export async function comparisonFigure(folder: string, comparison: ComparisonFile): Promise<ImageU8> {
	const [seed] = comparison.seeds;
	const rows: (ImageU8 | undefined)[][] = [];
	for (const { name, references } of comparison.sets) {
		const row = [await strip(folder, references)];
		for (const { name: method } of comparison.methods) {
			const cell = comparison.cells.find((each) => each.set === name && each.method === method && each.seed === seed);
			if (cell?.state !== "done") row.push(undefined);
			else {
				const { pictures } = await readCellMetrics(folder, cell);
				const names = Array.from({ length: pictures }, (_, i) => `${String(i).padStart(4, "0")}.png`);
				row.push(
					await strip(
						folder,
						names.map((file) => `${cell.folder}/pictures/${file}`),
					),
				);
			}
		}
		rows.push(row);
	}
	const { image } = await contactSheet(rows, {
		columnLabels: ["References", ...comparison.methods.map(({ label }) => label)],
		rowLabels: comparison.sets.map(({ name }) => name),
		gap: GAP,
	});
	return image;
}

function renderPage(comparison: ComparisonFile, table: ComparisonTable): string {
	const { columns, rows, leads, notes, done, cells } = table;
	const arrow = (better: string) => (better === "lower" ? " ↓" : better === "higher" ? " ↑" : "");
	const head = columns.map(({ title, better }) => `<th>${escaped(title)}${arrow(better)}</th>`).join("");
	const body = rows
		.map(({ label, values }) => {
			const own = columns.map(
				({ name }) =>
					`<td${isLeading(leads, name, values[name]) ? ' class="best"' : ""}>${formatEntry(values[name])}</td>`,
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
