// A study from a comparison: its pictures under random names, and the key apart from them.
import { randomBytes } from "node:crypto";
import { mkdir, readdir, rename, rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import {
	ArgumentError,
	DreamdistError,
	fileError,
	findPictures,
	makeFolders,
	readImage,
	writeFileAtomic,
} from "@dreamdist/core";
import { type ComparisonCell, type ComparisonFile, readComparison } from "../compare/comparison-file.js";
import { SeededRandom } from "../statistics/random.js";
import { type AttentionGrid, attentionGrids } from "./attention.js";
import { type PictureJob, TILES, writePictures } from "./pictures.js";
import {
	ANSWERS_FOLDER,
	KEY_FILE,
	PICTURES_FOLDER,
	STUDY_FILE,
	type Study,
	type StudyGrid,
	type StudyItem,
	type StudyKey,
} from "./study-file.js";

export interface CreateStudyOptions {
	/** Names of the comparison's sets, methods and seeds to take; by default all sets, all methods, and the first seed. */
	readonly sets?: readonly string[];
	readonly methods?: readonly string[];
	readonly seeds?: readonly number[];
	/** Pictures of each grid at most; there are fewer where some method made fewer. Default 40, as in the paper. */
	readonly pictures?: number;
	/** The longer side of the pictures at most. Default 320. */
	readonly side?: number;
	/** Attention checks. Default 2. */
	readonly checks?: number;
	/** An annotator who fails more of them is left out of the report. Default 0. */
	readonly allowedFailures?: number;
	readonly title?: string;
	/** Shown before the first item: what takes part in, and what is kept. */
	readonly introduction?: string;
	/** Of the order of items and grids. Default 0. */
	readonly seed?: number;
	readonly signal?: AbortSignal;
	onPicture?(done: number, total: number): void;
}

export interface CreatedStudy {
	readonly study: Study;
	readonly key: StudyKey;
	/** What whoever runs the study should know. */
	readonly notes: readonly string[];
}

/** More grids than this have no key of the keyboard, and don't fit a page. */
const MOST_METHODS = 9;

/** Streams of the seed. */
const STREAMS = { pictures: 0, sets: 1, tiles: 2 } as const;

const newId = (): string => randomBytes(16).toString("hex");

/** Names that are chosen, each known; in the comparison's order. */
function chosen<T extends string | number>(what: string, known: readonly T[], wanted: readonly T[] | undefined): T[] {
	if (wanted === undefined) return [...known];
	const unknown = wanted.find((each) => !known.includes(each));
	if (unknown !== undefined)
		throw new ArgumentError(`the comparison has no ${what} ${JSON.stringify(unknown)}; it has ${known.join(", ")}`);
	return known.filter((each) => wanted.includes(each));
}

/** In random order, and not by the seed: the seed is no secret, and the order of methods is. */
function secretOrder<T>(items: readonly T[]): T[] {
	const drawn = items.map((item) => ({ item, at: randomBytes(8).readBigUInt64LE() }));
	return drawn.sort((a, b) => (a.at < b.at ? -1 : 1)).map(({ item }) => item);
}

/** The pictures of a done cell. */
async function cellPictures(comparison: string, cell: ComparisonCell): Promise<string[]> {
	const found = await findPictures([join(comparison, cell.folder, "pictures")]);
	return found.map(({ path }) => path);
}

/** Collects pictures to write, each under a name of its own. */
class PictureJobs {
	readonly jobs: PictureJob[] = [];

	add(job: Omit<PictureJob, "id">): string {
		const id = newId();
		this.jobs.push({ ...job, id });
		return id;
	}

	grid(files: readonly string[], how: Omit<PictureJob, "id" | "file">): StudyGrid {
		const pictures = files.map((file) => this.add({ ...how, file }));
		return { id: newId(), pictures: pictures as [string, ...string[]] };
	}
}

/** An item's cells, in the order of the methods. */
interface Judged {
	readonly set: number;
	readonly seed: number;
	readonly files: readonly (readonly string[])[];
}

/** Everything that is read from the comparison. */
interface Material {
	readonly comparison: ComparisonFile;
	readonly methods: readonly string[];
	readonly sets: readonly { readonly name: string; readonly references: readonly string[] }[];
	readonly judged: readonly Judged[];
}

async function material(folder: string, options: CreateStudyOptions): Promise<Material> {
	const comparison = await readComparison(folder);
	const allMethods = comparison.methods.map(({ name }) => name);
	const methods = secretOrder(chosen("method", allMethods, options.methods));
	if (methods.length < 2 || methods.length > MOST_METHODS)
		throw new ArgumentError(
			`a study compares 2 to ${MOST_METHODS} methods, not ${methods.length}; choose with --methods`,
		);
	const setNames = chosen(
		"set",
		comparison.sets.map(({ name }) => name),
		options.sets,
	);
	const seeds = chosen("seed", comparison.seeds, options.seeds ?? [comparison.seeds[0]!]);
	const cells = setNames.flatMap((set) =>
		seeds.map((seed) => ({
			set,
			seed,
			cells: methods.map(
				(method) => comparison.cells.find((cell) => cell.set === set && cell.seed === seed && cell.method === method)!,
			),
		})),
	);
	const planned = cells.flatMap((each) => each.cells.filter(({ state }) => state !== "done"));
	if (planned.length > 0)
		throw new DreamdistError(
			"COMPARISON_UNFINISHED",
			`${planned.length} of the comparison's cells are not done, ${planned[0]!.folder} among them; finish it with "compare", or choose with --sets, --methods and --seeds`,
		);
	const sets = setNames.map((name) => {
		const { references } = comparison.sets.find((set) => set.name === name)!;
		return { name, references: references.map((path) => join(folder, ...path.split("/"))) };
	});
	const judged: Judged[] = [];
	for (const each of cells) {
		const files = await Promise.all(each.cells.map((cell) => cellPictures(folder, cell)));
		judged.push({ set: setNames.indexOf(each.set), seed: each.seed, files });
	}
	return { comparison, methods, sets, judged };
}

/** How all generated pictures are shown: no method is told by the size of its pictures. */
async function commonShape(judged: readonly Judged[], most: number): Promise<{ side: number; square: boolean }> {
	let side = most;
	let square = true;
	for (const { files } of judged) {
		for (const [first] of files) {
			const { width, height } = await readImage(first!);
			side = Math.min(side, Math.max(width, height));
			square &&= width === height;
		}
	}
	return { side, square };
}

/**
 * Writes a study into a folder that must not exist or be empty. It appears there whole: a study that could not be completed leaves nothing.
 *
 * @param folder the comparison's
 * @throws DreamdistError in one sentence: cells that are not done, a name that is not there, a picture that can't be read
 */
export async function createStudy(
	folder: string,
	out: string,
	options: CreateStudyOptions = {},
): Promise<CreatedStudy> {
	const { pictures = 40, side: most = 320, checks = 2, allowedFailures = 0, seed = 0, signal, onPicture } = options;
	const { comparison, methods, sets, judged } = await material(folder, options);
	await checkEmpty(out);
	const counts = judged.flatMap(({ files }) => files.map((each) => each.length));
	const count = Math.min(pictures, ...counts);
	const { side, square } = await commonShape(judged, most);
	const jobs = new PictureJobs();

	const strip = (set: number) =>
		sets[set]!.references.map((file) => jobs.add({ file, side: most })) as [string, ...string[]];
	const shuffle = new SeededRandom(seed, STREAMS.pictures);
	const judgedItems = judged.map(({ set, files }): StudyItem => {
		// The same pictures in the same places for all methods: where methods share their seeds, places share their noise.
		const order = shuffle.shuffle(Math.min(...files.map((each) => each.length))).slice(0, count);
		const grids = files.map((each) =>
			jobs.grid(
				order.map((index) => each[index]!),
				{ side },
			),
		);
		return { id: newId(), kind: "judged", references: strip(set), grids };
	});
	const tiles = new SeededRandom(seed, STREAMS.tiles).shuffle(TILES * TILES);
	const attentionItem = (kind: "practice" | "check", set: number): StudyItem & { readonly right: string } => {
		const grids = attentionGrids(set, sets.length, methods.length).map((grid: AttentionGrid) => {
			const { references } = sets[grid.set]!;
			const repeated = Array.from({ length: Math.ceil(count / references.length) }, () =>
				shuffle.shuffle(references.length).map((index) => references[index]!),
			);
			// References may be of any shape; beside square pictures they would give a check away.
			return jobs.grid(repeated.flat().slice(0, count), { side, square, ...(grid.scrambled && { tiles }) });
		});
		return { id: newId(), kind, references: strip(set), grids, right: grids[0]!.id };
	};
	const order = new SeededRandom(seed, STREAMS.sets).shuffle(sets.length);
	const practice = attentionItem("practice", order[0]!);
	const checkSets = Array.from({ length: checks }, (_, i) => order[(i + 1) % order.length]!);
	const checkItems = checkSets.map((set) => attentionItem("check", set));

	const created = new Date();
	const study: Study = {
		format: "dreamdist.study",
		version: 1,
		id: newId(),
		title: options.title ?? "A study of pictures",
		introduction: options.introduction ?? "",
		created: created.toISOString(),
		seed,
		allowedFailures,
		items: [practice, ...judgedItems, ...checkItems.map(({ right: _, ...item }) => item)],
	};
	const key: StudyKey = {
		format: "dreamdist.study-key",
		version: 1,
		study: study.id,
		model: comparison.model,
		methods: comparison.methods.filter(({ name }) => methods.includes(name)),
		items: [
			...judged.map((each, i) => ({
				kind: "judged" as const,
				id: judgedItems[i]!.id,
				set: sets[each.set]!.name,
				seed: each.seed,
				grids: Object.fromEntries(judgedItems[i]!.grids.map(({ id }, method) => [id, methods[method]!])),
			})),
			...checkItems.map(({ id, right }, i) => ({
				kind: "check" as const,
				id,
				set: sets[checkSets[i]!]!.name,
				right,
			})),
		],
	};
	await whole(out, async (temporary) => {
		for (const name of [PICTURES_FOLDER, ANSWERS_FOLDER]) await mkdir(join(temporary, name));
		await writePictures(join(temporary, PICTURES_FOLDER), secretOrder(jobs.jobs), {
			time: created,
			...(signal && { signal }),
			...(onPicture && { onPicture }),
		});
		await writeFileAtomic(join(temporary, KEY_FILE), `${JSON.stringify(key, null, "\t")}\n`);
		await writeFileAtomic(join(temporary, STUDY_FILE), `${JSON.stringify(study, null, "\t")}\n`);
	});
	return { study, key, notes: notesOn(pictures, count, counts, sets.length, checks) };
}

function notesOn(wanted: number, count: number, counts: readonly number[], sets: number, checks: number): string[] {
	const notes: string[] = [];
	if (new Set(counts).size > 1 && count < wanted)
		notes.push(`The cells have ${Math.min(...counts)} to ${Math.max(...counts)} pictures; every grid shows ${count}.`);
	if (sets === 1) notes.push("With one set only, attention checks are told by cut-up pictures.");
	if (checks === 0) notes.push("Without attention checks no annotator is left out of the report.");
	return notes;
}

async function checkEmpty(out: string): Promise<void> {
	try {
		if ((await readdir(out)).length > 0)
			throw new ArgumentError(`the folder ${out} is not empty; a study needs one of its own`);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw fileError(error, "read the folder", out);
	}
}

/** Fills a folder beside `out` and gives it that name at the end; whatever goes wrong, nothing is left. */
async function whole(out: string, fill: (temporary: string) => Promise<void>): Promise<void> {
	const temporary = join(dirname(out), `.dreamdist-study-${randomBytes(8).toString("hex")}.tmp`);
	try {
		await makeFolders(temporary);
		await fill(temporary);
		await rmdir(out).catch((error: NodeJS.ErrnoException) => {
			if (error.code !== "ENOENT") throw error;
		});
		await rename(temporary, out);
	} catch (error) {
		await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
		throw fileError(error, "write the study", out);
	}
}
