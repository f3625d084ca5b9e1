// The files of a study's folder.
//
//   STUDY/study.json            what the server reads: rows of pictures under random names, no method's name
//   STUDY/key.json              which grid is whose; the server never reads it
//   STUDY/pictures/<id>.png     re-encoded pictures without metadata
//   STUDY/answers/<code>.jsonl  one log per annotator, only ever appended to
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { FormatError, fileError } from "@dreamdist/core";
import { z } from "zod";

/** What an annotator is asked of every set of grids, in this order. */
export const QUESTIONS = ["similarity", "diversity", "overall"] as const;
export type Question = (typeof QUESTIONS)[number];

/** 16 random bytes: of a study, an item, a grid or a picture. */
export const opaqueId = z.string().regex(/^[0-9a-f]{32}$/, "is no identifier of 32 hexadecimal digits");

const gridSchema = z.strictObject({ id: opaqueId, pictures: z.array(opaqueId).nonempty() });
export type StudyGrid = z.infer<typeof gridSchema>;

const itemSchema = z.strictObject({
	id: opaqueId,
	/** `judged` counts; `practice` comes first and does not; `check` looks like a judged one and has a right answer, which the key holds. */
	kind: z.enum(["practice", "judged", "check"]),
	references: z.array(opaqueId).nonempty(),
	/** One per method, in an order of the methods that is the same for all judged items and that only the key tells. */
	grids: z.array(gridSchema).min(2),
	/** The grid most like the references, of the practice item, which tells. */
	right: opaqueId.optional(),
});
export type StudyItem = z.infer<typeof itemSchema>;

export const studySchema = z.strictObject({
	format: z.literal("dreamdist.study"),
	version: z.literal(1),
	id: opaqueId,
	title: z.string().min(1).max(200),
	/** Shown before the first item. */
	introduction: z.string().max(10_000),
	created: z.string(),
	/** Of the order of items and their places. */
	seed: z.int().min(0),
	/** An annotator who fails more attention checks than this is left out of the report. */
	allowedFailures: z.int().min(0),
	items: z.array(itemSchema).nonempty(),
});
export type Study = z.infer<typeof studySchema>;

export const keySchema = z.strictObject({
	format: z.literal("dreamdist.study-key"),
	version: z.literal(1),
	study: opaqueId,
	/** What the pictures were made with. */
	model: z.string(),
	/** In the order of the comparison. */
	methods: z.array(z.strictObject({ name: z.string(), label: z.string() })).min(2),
	items: z.array(
		z.discriminatedUnion("kind", [
			z.strictObject({
				kind: z.literal("judged"),
				id: opaqueId,
				set: z.string(),
				seed: z.int(),
				/** Method by grid. */
				grids: z.record(opaqueId, z.string()),
			}),
			z.strictObject({ kind: z.literal("check"), id: opaqueId, set: z.string(), right: opaqueId }),
		]),
	),
});
export type StudyKey = z.infer<typeof keySchema>;

export const STUDY_FILE = "study.json";
export const KEY_FILE = "key.json";
export const PICTURES_FOLDER = "pictures";
export const ANSWERS_FOLDER = "answers";

export function pictureFile(id: string): string {
	return `${id}.png`;
}

async function readJson<Schema extends z.ZodType>(folder: string, name: string, schema: Schema) {
	const path = join(folder, name);
	const fail = (problem: string) => new FormatError("BAD_STUDY", path, `${path} is not of a study: ${problem}`);
	let text: string;
	try {
		text = await readFile(path, "utf8");
	} catch (error) {
		throw fileError(error, "read the study", path);
	}
	let json: unknown;
	try {
		json = JSON.parse(text);
	} catch (error) {
		throw fail(`it is not JSON (${(error as Error).message})`);
	}
	const parsed = schema.safeParse(json);
	if (parsed.success) return parsed.data;
	const { path: keys, message } = parsed.error.issues[0]!;
	throw fail(keys.length > 0 ? `"${keys.join(".")}": ${message}` : message);
}

/**
 * Reads STUDY/study.json.
 *
 * @throws FileError where there is none; FormatError `BAD_STUDY` naming what is wrong with it
 */
export function readStudy(folder: string): Promise<Study> {
	return readJson(folder, STUDY_FILE, studySchema);
}

/**
 * Reads STUDY/key.json. Only a report does.
 *
 * @throws FileError where there is none; FormatError `BAD_STUDY` naming what is wrong with it, or that it is another study's
 */
export async function readStudyKey(folder: string, study: Study): Promise<StudyKey> {
	const key = await readJson(folder, KEY_FILE, keySchema);
	const path = join(folder, KEY_FILE);
	const known = new Set(key.items.map(({ id }) => id));
	const unknown = study.items.find(({ id, kind }) => kind !== "practice" && !known.has(id));
	if (key.study !== study.id || unknown)
		throw new FormatError("BAD_STUDY", path, `${path} is the key of another study than ${STUDY_FILE} beside it`);
	return key;
}
