// The table of a comparison: the mean over sets of every method and metric, with the standard deviation over sets, as the paper's Table 1.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { FormatError, fileError } from "@dreamdist/core";
import { METRICS, type MetricName } from "../evaluate/metric-table.js";
import { type CellMetrics, cellMetricsSchema } from "./cell.js";
import type { ComparisonCell, ComparisonFile } from "./comparison-file.js";

/** The columns of the paper's Table 1. */
export const PAPER_COLUMNS: readonly MetricName[] = ["fid", "clip-i", "dino", "density", "coverage"];

export interface TableEntry {
	readonly mean: number;
	/** Over the sets, n − 1; null for one set. */
	readonly deviation: number | null;
	/** Sets with a value. */
	readonly sets: number;
}

export interface ComparisonRow {
	readonly method: string;
	readonly label: string;
	readonly values: Readonly<Partial<Record<MetricName, TableEntry>>>;
}

/** Who leads a column, and by how much. */
export interface ColumnLead {
	readonly metric: MetricName;
	readonly method: string;
	readonly label: string;
	readonly value: number;
	/** Of the method that the comparison is about; null where it was not compared. */
	readonly own: number | null;
}

export interface ComparisonTable {
	readonly columns: readonly { readonly name: MetricName; readonly title: string; readonly better: string }[];
	readonly rows: readonly ComparisonRow[];
	readonly leads: readonly ColumnLead[];
	/** Cells done, of all. */
	readonly done: number;
	readonly cells: number;
	/** What to know when reading the numbers. */
	readonly notes: readonly string[];
}

/** @throws FormatError `BAD_COMPARISON` where a cell that is done has no such file */
export async function readCellMetrics(folder: string, cell: ComparisonCell): Promise<CellMetrics> {
	const path = join(folder, cell.folder, "metrics.json");
	let text: string;
	try {
		text = await readFile(path, "utf8");
	} catch (error) {
		throw fileError(error, "read", path);
	}
	const fail = (problem: string) => new FormatError("BAD_COMPARISON", path, `${path} holds no metrics: ${problem}`);
	let json: unknown;
	try {
		json = JSON.parse(text);
	} catch (error) {
		throw fail((error as Error).message);
	}
	const parsed = cellMetricsSchema.safeParse(json);
	if (parsed.success) return parsed.data;
	const { path: keys, message } = parsed.error.issues[0]!;
	throw fail(`"${keys.join(".")}" ${message}`);
}

function entryOf(bySet: readonly number[]): TableEntry {
	const mean = bySet.reduce((sum, value) => sum + value, 0) / bySet.length;
	const squares = bySet.reduce((sum, value) => sum + (value - mean) ** 2, 0);
	return { mean, deviation: bySet.length > 1 ? Math.sqrt(squares / (bySet.length - 1)) : null, sets: bySet.length };
}

/** The method that the project is about. */
const OWN = "dream-distribution";

/** The table of the cells that are done. */
export async function comparisonTable(folder: string, comparison: ComparisonFile): Promise<ComparisonTable> {
	const done = comparison.cells.filter(({ state }) => state === "done");
	const read = await Promise.all(done.map(async (cell) => ({ cell, ...(await readCellMetrics(folder, cell)) })));
	const rows = comparison.methods.map(({ name: method, label }): ComparisonRow => {
		const values: Partial<Record<MetricName, TableEntry>> = {};
		for (const { name } of METRICS) {
			const bySet = comparison.sets.flatMap(({ name: set }) => {
				const own = read.filter(({ cell, metrics }) => cell.method === method && cell.set === set && metrics[name]);
				if (own.length === 0) return [];
				return [own.reduce((sum, { metrics }) => sum + metrics[name]!.value, 0) / own.length];
			});
			if (bySet.length > 0) values[name] = entryOf(bySet);
		}
		return { method, label, values };
	});
	const present = METRICS.filter(({ name }) => rows.some(({ values }) => values[name]));
	const columns = [
		...METRICS.filter(({ name }) => PAPER_COLUMNS.includes(name)),
		...present.filter(({ name }) => !PAPER_COLUMNS.includes(name)),
	].map(({ name, title, better }) => ({ name, title, better }));
	const leads = present.flatMap(({ name, better }): ColumnLead[] => {
		if (better === "neither") return [];
		const sign = better === "lower" ? 1 : -1;
		const ranked = rows
			.flatMap((row) => (row.values[name] ? [{ ...row, value: row.values[name].mean }] : []))
			.sort((a, b) => sign * (a.value - b.value));
		const { method, label, value } = ranked[0]!;
		return [{ metric: name, method, label, value, own: ranked.find((row) => row.method === OWN)?.value ?? null }];
	});
	const reasons = new Map(read.flatMap(({ unavailable }) => unavailable.map(({ metric, reason }) => [metric, reason])));
	return {
		columns,
		rows,
		leads,
		done: done.length,
		cells: comparison.cells.length,
		notes: [
			...new Set([
				...(done.length < comparison.cells.length
					? [`${done.length} of ${comparison.cells.length} cells are done; the table is of those.`]
					: []),
				...PAPER_COLUMNS.flatMap((name) =>
					reasons.has(name) ? [`${name} was not measured: ${reasons.get(name)}`] : [],
				),
				...mergeNotes(read.flatMap(({ notes }) => notes)),
			]),
		],
	};
}

const NUMBER = /\d+(?:\.\d+)?/g;

/** Notes that differ in nothing but numbers as one, with the range of each number that differs: "so few pictures (8–20 real)". */
export function mergeNotes(notes: readonly string[]): string[] {
	const kinds = new Map<string, string[][]>();
	for (const note of notes) {
		const kind = note.replaceAll(NUMBER, "\0");
		kinds.set(kind, [...(kinds.get(kind) ?? []), note.match(NUMBER) ?? []]);
	}
	return [...kinds].map(([kind, numbers]) => {
		let place = 0;
		return kind.replaceAll("\0", () => {
			const values = numbers.map((each) => each[place]!).sort((a, b) => Number(a) - Number(b));
			place++;
			return values[0] === values.at(-1) ? values[0]! : `${values[0]}–${values.at(-1)}`;
		});
	});
}

const ARROWS: Readonly<Record<string, string>> = { lower: " ↓", higher: " ↑", neither: "" };

const digits = (value: number) => (Math.abs(value) >= 100 ? value.toFixed(1) : value.toFixed(3));

/** "0.812 ± 0.034" */
export function formatEntry(entry: TableEntry | undefined): string {
	if (!entry) return "–";
	return entry.deviation === null ? digits(entry.mean) : `${digits(entry.mean)} ± ${digits(entry.deviation)}`;
}

/** Whether a value is its column's best; several are where they are equal. */
export function isLeading(leads: readonly ColumnLead[], metric: MetricName, entry: TableEntry | undefined): boolean {
	return entry !== undefined && leads.some((lead) => lead.metric === metric && lead.value === entry.mean);
}

/** Whether the project's own method leads, column by column, in sentences. */
export function leadSentences({ leads, columns }: ComparisonTable): string[] {
	return leads.map(({ metric, method, label, value, own }) => {
		const title = columns.find(({ name }) => name === metric)!.title;
		if (method === OWN) return `${title}: ${label} leads with ${digits(value)}.`;
		if (own === value) return `${title}: DreamDistribution and ${label} lead with ${digits(value)}.`;
		const behind = own === null ? "" : `, DreamDistribution has ${digits(own)}`;
		return `${title}: ${label} leads with ${digits(value)}${behind}.`;
	});
}

/** The table as Markdown; the best of each column is bold. */
export function tableMarkdown(table: ComparisonTable): string {
	const { columns, rows, leads, notes } = table;
	const head = ["Method", ...columns.map(({ title, better }) => `${title}${ARROWS[better]}`)];
	const body = rows.map(({ label, values }) => [
		label,
		...columns.map(({ name }) => {
			const text = formatEntry(values[name]);
			return isLeading(leads, name, values[name]) ? `**${text}**` : text;
		}),
	]);
	const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
	return [
		line(head),
		line(head.map(() => "---")),
		...body.map(line),
		"",
		"Mean ± standard deviation over the sets.",
		"",
		...leadSentences(table).map((sentence) => `- ${sentence}`),
		"",
		...notes.map((note) => `- ${note}`),
		"",
	].join("\n");
}
