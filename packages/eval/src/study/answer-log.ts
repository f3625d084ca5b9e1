// One annotator's log: a header, then a line per answer, each on the disk before it is acknowledged. Lines are only ever added.
import { type FileHandle, open, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { FormatError, fileError, writeFileAtomic, writeFully } from "@dreamdist/core";
import { z } from "zod";
import { ANSWERS_FOLDER, opaqueId } from "./study-file.js";

/** An annotator's code is the name of a file, on systems that don't tell capitals apart too. */
export const ANNOTATOR = /^[a-z0-9][a-z0-9_-]{0,39}$/;

const headerSchema = z.strictObject({
	format: z.literal("dreamdist.study-answers"),
	version: z.literal(1),
	study: opaqueId,
	annotator: z.string().regex(ANNOTATOR),
	/** Number of the annotator, which decides the orders of items and grids. */
	number: z.int().min(0),
	joined: z.string(),
});
export type AnswerHeader = z.infer<typeof headerSchema>;

/** The grid chosen for each question. */
export const choicesSchema = z.strictObject({ similarity: opaqueId, diversity: opaqueId, overall: opaqueId });

const answerSchema = z.strictObject({
	item: opaqueId,
	/** Made by the page, once per answer: the same answer sent again is not another one. */
	submission: opaqueId,
	/** Null for a skipped item. */
	choices: choicesSchema.nullable(),
	/** The item's grids as they stood on the page. */
	layout: z.array(opaqueId),
	/** From when the item was shown until it was answered, by the page's clock. */
	milliseconds: z.int().min(0),
	/** By the server's clock. */
	at: z.string(),
});
export type Answer = z.infer<typeof answerSchema>;

export interface AnswerLogContents {
	readonly path: string;
	readonly header: AnswerHeader;
	/** In the order of writing; of an item the last one counts. */
	readonly answers: readonly Answer[];
	/** Numbers of lines, from 1 on, that can't be read: what a crash cut off, which was never acknowledged. */
	readonly damaged: readonly number[];
}

function parseLine<Schema extends z.ZodType>(line: string, schema: Schema): z.infer<Schema> | null {
	try {
		return schema.safeParse(JSON.parse(line)).data ?? null;
	} catch {
		return null;
	}
}

async function readLog(path: string): Promise<AnswerLogContents & { readonly whole: boolean }> {
	let text: string;
	try {
		text = await readFile(path, "utf8");
	} catch (error) {
		throw fileError(error, "read the answers", path);
	}
	const [first, ...lines] = text.split("\n");
	const header = parseLine(first!, headerSchema);
	if (!header) throw new FormatError("BAD_STUDY", path, `${path} is no log of answers: its first line is no header`);
	const answers: Answer[] = [];
	const damaged: number[] = [];
	for (const [i, line] of lines.entries()) {
		if (line === "") continue;
		const answer = parseLine(line, answerSchema);
		if (answer) answers.push(answer);
		else damaged.push(i + 2);
	}
	return { path, header, answers, damaged, whole: text.endsWith("\n") };
}

/**
 * The logs of all annotators of a study, by their numbers.
 *
 * @throws FormatError for a file that is no log, or another study's
 */
export async function readAnswerLogs(folder: string, study: string): Promise<AnswerLogContents[]> {
	const answers = join(folder, ANSWERS_FOLDER);
	let names: string[];
	try {
		names = await readdir(answers);
	} catch (error) {
		throw fileError(error, "read the folder", answers);
	}
	const logs: AnswerLogContents[] = [];
	for (const name of names.filter((each) => each.endsWith(".jsonl"))) {
		const path = join(answers, name);
		const log = await readLog(path);
		if (log.header.study !== study)
			throw new FormatError("BAD_STUDY", path, `${path} holds answers of another study; move it away`);
		if (name !== `${log.header.annotator}.jsonl`)
			throw new FormatError(
				"BAD_STUDY",
				path,
				`${path} holds the answers of ${log.header.annotator}; give it that name`,
			);
		logs.push(log);
	}
	return logs.sort((a, b) => a.header.number - b.header.number);
}

/** A log that is being written to. */
export class AnswerLog {
	/** Appends follow one another. */
	private last: Promise<void> = Promise.resolve();

	private constructor(
		private readonly path: string,
		readonly header: AnswerHeader,
		/** Whether the file ends in the middle of a line. */
		private torn: boolean,
	) {}

	/** Makes the log of an annotator who joins. */
	static async create(folder: string, header: AnswerHeader): Promise<AnswerLog> {
		const path = join(folder, ANSWERS_FOLDER, `${header.annotator}.jsonl`);
		await writeFileAtomic(path, `${JSON.stringify(header)}\n`);
		return new AnswerLog(path, header, false);
	}

	/** Goes on with a log that is there. */
	static async continue({ path }: AnswerLogContents): Promise<AnswerLog> {
		const { header, whole } = await readLog(path);
		return new AnswerLog(path, header, !whole);
	}

	/** Resolves when the line is on the disk. @throws FileError where it could not be written; it may then be sent again */
	append(answer: Answer): Promise<void> {
		const line = this.last.then(() => this.write(`${JSON.stringify(answer)}\n`));
		this.last = line.catch(() => undefined);
		return line;
	}

	private async write(line: string): Promise<void> {
		let file: FileHandle | undefined;
		try {
			file = await open(this.path, "a");
			// What was cut off stays a line of its own.
			const text = this.torn ? `\n${line}` : line;
			this.torn = true;
			await writeFully(file, Buffer.from(text, "utf8"));
			await file.datasync();
			this.torn = false;
		} catch (error) {
			throw fileError(error, "write the answer to", this.path);
		} finally {
			await file?.close();
		}
	}
}
