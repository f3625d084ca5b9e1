// `compare`: reference sets × methods × seeds, trained, painted and measured; interrupted, it goes on where it stopped.
import { existsSync } from "node:fs";
import { copyFile, readdir } from "node:fs/promises";
import { extname, join } from "node:path";
import { ArgumentError, checkSize, defaultSize, FormatError, fileError, lockRun, makeFolders } from "@dreamdist/core";
import { METHOD_LABELS, type Pipeline } from "@dreamdist/models";
import { evaluate } from "../evaluate/evaluate.js";
import { type CellContext, type CellProgress, runCell } from "./cell.js";
import {
	COMPARISON_FILE,
	type ComparisonCell,
	type ComparisonFile,
	plannedCells,
	readComparison,
	writeComparison,
} from "./comparison-file.js";
import { type ComparePlan, type CompareSettings, checkMethodSettings, compareSettingsSchema } from "./plan.js";
import { writeComparisonReport } from "./report.js";
import type { ComparisonTable } from "./table.js";

export type CompareEvent =
	| { readonly kind: "cell"; readonly cell: ComparisonCell; readonly index: number; readonly total: number }
	| { readonly kind: "progress"; readonly cell: ComparisonCell; readonly progress: CellProgress };

export interface CompareOptions {
	readonly folder: string;
	readonly pipe: Pipeline;
	/** Null: what the folder's comparison says. */
	readonly plan: ComparePlan | null;
	readonly measuring: CellContext["measuring"];
	readonly signal?: AbortSignal | undefined;
	readonly onEvent?: ((event: CompareEvent) => void) | undefined;
}

/**
 * Runs a comparison, or what is left of it.
 *
 * @throws ArgumentError for settings that do not fit, or where the folder's comparison is another one; FormatError for a damaged one
 */
export async function compare(options: CompareOptions): Promise<ComparisonTable> {
	const { folder, pipe, signal, onEvent } = options;
	await makeFolders(folder);
	const unlock = await lockRun(folder);
	try {
		const comparison = await openComparison(options);
		const settings = readSettings(folder, comparison);
		if (settings.modelHash !== pipe.identity.hash)
			throw new ArgumentError(
				`the comparison in ${folder} is of another model (${comparison.model}) than ${pipe.identity.id}; choose another folder`,
			);
		const left = comparison.cells.filter(({ state }) => state === "planned");
		const total = comparison.cells.length;
		if (left.length > 0) await checkMeasurable(comparison, options);
		for (const cell of left) {
			signal?.throwIfAborted();
			onEvent?.({ kind: "cell", cell, index: total - left.length + left.indexOf(cell), total });
			const { references } = comparison.sets.find(({ name }) => name === cell.set)!;
			await runCell(cell, {
				folder,
				pipe,
				settings,
				references: references.map((path) => join(folder, path)),
				measuring: options.measuring,
				signal,
				onProgress: (progress) => onEvent?.({ kind: "progress", cell, progress }),
			});
			cell.state = "done";
			await writeComparison(folder, comparison);
		}
		return await writeComparisonReport(folder, comparison);
	} finally {
		await unlock();
	}
}

/** Hours of training are for nothing where no encoder is there: measures the first set's references before. */
async function checkMeasurable({ sets }: ComparisonFile, options: CompareOptions): Promise<void> {
	const [{ name, references }] = sets as [ComparisonFile["sets"][number]];
	const real = { name, files: references.map((path) => join(options.folder, path)) };
	const { signal, measuring, pipe } = options;
	await evaluate({ device: pipe.device, real, sets: [real], ...measuring, signal });
}

/** The settings of a comparison in a folder. @throws FormatError `BAD_COMPARISON` naming the key at fault */
function readSettings(folder: string, { settings }: ComparisonFile): CompareSettings {
	const parsed = compareSettingsSchema.safeParse(settings);
	if (parsed.success) return parsed.data;
	const { path, message } = parsed.error.issues[0]!;
	const file = join(folder, COMPARISON_FILE);
	throw new FormatError("BAD_COMPARISON", file, `${file}: "settings.${path.join(".")}" ${message}`);
}

async function openComparison({ folder, pipe, plan }: CompareOptions): Promise<ComparisonFile> {
	const before = existsSync(join(folder, COMPARISON_FILE)) ? await readComparison(folder) : null;
	if (!plan) {
		if (before) return before;
		throw new ArgumentError(`${folder} holds no comparison to go on with`);
	}
	const planned = plannedComparison(plan, pipe);
	const { size } = plan.settings;
	checkSize(pipe, size ?? defaultSize(pipe));
	checkMethodSettings(plan.methods, planned.settings as CompareSettings);
	if (before) {
		requireSame(folder, before, planned);
		return before;
	}
	const others = (await readdir(folder)).filter((name) => name !== "lock.json" && name !== "references");
	if (others.length > 0)
		throw new ArgumentError(`${folder} is not empty and holds no comparison; choose another folder`);
	for (const [i, { name, references }] of plan.sets.entries()) {
		await makeFolders(join(folder, "references", name));
		for (const [k, file] of references.entries()) {
			const to = join(folder, planned.sets[i]!.references[k]!);
			try {
				await copyFile(file, to);
			} catch (error) {
				throw fileError(error, "copy the picture", file);
			}
		}
	}
	await writeComparison(folder, planned);
	return planned;
}

function plannedComparison(plan: ComparePlan, pipe: Pipeline): ComparisonFile {
	const { model, sets, seeds, settings } = plan;
	if (sets.length === 0) throw new ArgumentError("there is no set to compare on");
	const empty = sets.find(({ references }) => references.length < 3);
	if (empty)
		throw new ArgumentError(`the set ${empty.name} has ${empty.references.length} pictures; at least 3 are needed`);
	const methods = plan.methods.map((name) => ({ name, label: METHOD_LABELS[name] }));
	const all: CompareSettings = {
		...settings,
		modelHash: pipe.identity.hash,
		methods: Object.fromEntries(plan.methods.map((name) => [name, settings.methods[name] ?? {}])),
		texts: Object.fromEntries(sets.map(({ name, texts }) => [name, texts])),
	};
	const copied = sets.map(({ name, references }) => ({
		name,
		references: references.map(
			(file, i) => `references/${name}/${String(i).padStart(4, "0")}${extname(file).toLowerCase()}`,
		),
	})) as ComparisonFile["sets"];
	return {
		format: "dreamdist.comparison",
		version: 1,
		model,
		settings: all,
		sets: copied,
		methods: methods as ComparisonFile["methods"],
		seeds: [...seeds] as ComparisonFile["seeds"],
		cells: plannedCells(copied, methods, seeds),
	};
}

/** @throws ArgumentError naming what differs */
function requireSame(folder: string, before: ComparisonFile, now: ComparisonFile): void {
	const parts = ["model", "sets", "methods", "seeds"] as const;
	const differing: string[] = parts.filter((key) => JSON.stringify(before[key]) !== JSON.stringify(now[key]));
	const keys = new Set([...Object.keys(before.settings), ...Object.keys(now.settings)]);
	for (const key of keys)
		if (canonical(before.settings[key]) !== canonical(now.settings[key])) differing.push(`settings.${key}`);
	if (differing.length > 0)
		throw new ArgumentError(
			`${folder} holds a comparison with other ${differing.join(", ")}; go on with it as it is (compare --out and nothing else), or choose another folder`,
		);
}

/** JSON whatever the keys' order. */
function canonical(value: unknown): string {
	if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
	if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
	const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
	return `{${entries.map(([key, each]) => `${JSON.stringify(key)}:${canonical(each)}`).join()}}`;
}
