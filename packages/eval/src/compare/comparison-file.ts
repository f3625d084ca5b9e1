// comparison.json: what a comparison of methods is made of, and which of its cells are done. The contract with whoever reads one.
//
//   COMPARISON/comparison.json
//   COMPARISON/references/SET/…                      the pictures that every method has learned from
//   COMPARISON/cells/SET/METHOD/SEED/pictures/0000.png …
//                                   /metrics.json     what `evaluate` says of them
//                                   /run/             the run that made the method's model
import { readFile } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { FormatError, fileError, writeFileAtomic } from "@dreamdist/core";
import { z } from "zod";

/** Names are parts of paths. */
const name = z
	.string()
	.regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, "is no name: letters, digits, dots, dashes and underscores");

/** A path below the comparison's folder, with slashes on every system. */
const inside = z
	.string()
	.min(1)
	.refine(
		(path) => !isAbsolute(path) && !path.includes("\\") && !path.split("/").includes(".."),
		"is no path below the comparison's folder",
	);

const cellSchema = z.strictObject({
	set: name,
	method: name,
	seed: z.int().min(0),
	/** cells/SET/METHOD/SEED */
	folder: inside,
	/** A cell that is done has all of its files; one that is planned may have some. */
	state: z.enum(["planned", "done"]),
});

export const comparisonSchema = z.strictObject({
	format: z.literal("dreamdist.comparison"),
	version: z.literal(1),
	/** As the user named it. */
	model: z.string(),
	/** Everything that the cells' results depend on besides. */
	settings: z.record(z.string(), z.unknown()),
	sets: z.array(z.strictObject({ name, references: z.array(inside).nonempty() })).nonempty(),
	/** In the order of the table's rows. */
	methods: z.array(z.strictObject({ name, label: z.string().min(1) })).nonempty(),
	seeds: z.array(z.int().min(0)).nonempty(),
	/** Every set with every method and seed, once. */
	cells: z.array(cellSchema),
});
export type ComparisonFile = z.infer<typeof comparisonSchema>;
export type ComparisonCell = ComparisonFile["cells"][number];

export const COMPARISON_FILE = "comparison.json";

/** Folder of a cell, relative to the comparison's. */
export function cellFolder(set: string, method: string, seed: number): string {
	return `cells/${set}/${method}/${seed}`;
}

/** Every set with every method and seed, nothing done yet; sets outermost, so that whole sets are done first. */
export function plannedCells(
	sets: readonly { readonly name: string }[],
	methods: readonly { readonly name: string }[],
	seeds: readonly number[],
): ComparisonCell[] {
	return sets.flatMap(({ name: set }) =>
		seeds.flatMap((seed) =>
			methods.map(
				({ name: method }): ComparisonCell => ({
					set,
					method,
					seed,
					folder: cellFolder(set, method, seed),
					state: "planned",
				}),
			),
		),
	);
}

/** Names of a list that are there more than once. */
function repeated(names: readonly (string | number)[]): (string | number)[] {
	return names.filter((each, i) => names.indexOf(each) !== i);
}

/** What the schema can't say; null where all is well. */
function inconsistency({ sets, methods, seeds, cells }: ComparisonFile): string | null {
	for (const [what, names] of [
		["set", sets.map((set) => set.name)],
		["method", methods.map((method) => method.name)],
		["seed", seeds],
	] as const) {
		const [twice] = repeated(names);
		if (twice !== undefined) return `the ${what} ${twice} is there twice`;
	}
	const expected = new Set(plannedCells(sets, methods, seeds).map(({ folder }) => folder));
	for (const { set, method, seed, folder } of cells) {
		if (folder !== cellFolder(set, method, seed) || !expected.delete(folder))
			return `the cell ${folder} is there twice, or is of a set, method or seed that is not listed`;
	}
	const [missing] = expected;
	return missing === undefined ? null : `the cell ${missing} is missing`;
}

/**
 * Reads COMPARISON/comparison.json.
 *
 * @param folder the comparison's
 * @throws FileError where there is none; FormatError `BAD_COMPARISON` naming what is wrong with it
 */
export async function readComparison(folder: string): Promise<ComparisonFile> {
	const path = join(folder, COMPARISON_FILE);
	let text: string;
	try {
		text = await readFile(path, "utf8");
	} catch (error) {
		throw fileError(error, "read the comparison", path);
	}
	const fail = (problem: string) => new FormatError("BAD_COMPARISON", path, `${path} is no comparison: ${problem}`);
	let json: unknown;
	try {
		json = JSON.parse(text);
	} catch (error) {
		throw fail(`it is not JSON (${(error as Error).message})`);
	}
	const parsed = comparisonSchema.safeParse(json);
	if (!parsed.success) {
		const { path: keys, message } = parsed.error.issues[0]!;
		throw fail(keys.length > 0 ? `"${keys.join(".")}": ${message}` : message);
	}
	const problem = inconsistency(parsed.data);
	if (problem !== null) throw fail(problem);
	return parsed.data;
}

/** Writes COMPARISON/comparison.json, whole or not at all. The folder must be there. */
export async function writeComparison(folder: string, comparison: ComparisonFile): Promise<void> {
	const path = join(folder, COMPARISON_FILE);
	const problem = inconsistency(comparisonSchema.parse(comparison));
	if (problem !== null) throw new FormatError("BAD_COMPARISON", path, `${path} is not written: ${problem}`);
	await writeFileAtomic(path, `${JSON.stringify(comparison, null, "\t")}\n`);
}
