import { FileError, FormatError, readWholeFile } from "@dreamdist/core";

/** Configuration files have a few hundred bytes. */
const LIMIT = 2 ** 24;

/** Whether reading failed because there is no such file. */
export function isNotThere(error: unknown): boolean {
	return error instanceof FileError && error.code === "FILE_NOT_FOUND";
}

/**
 * Reads a text file.
 *
 * @throws FileError if it can't be read, FormatError `BAD_TEXT` if it is not UTF-8
 */
export async function readTextFile(path: string): Promise<string> {
	const bytes = await readWholeFile(path, LIMIT);
	try {
		return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
	} catch (cause) {
		throw new FormatError("BAD_TEXT", path, `${path} is not UTF-8 text`, { cause });
	}
}

/**
 * Reads a JSON file.
 *
 * @throws FileError if it can't be read, FormatError `BAD_JSON` if it is not JSON
 */
export async function readJsonFile(path: string): Promise<unknown> {
	const text = await readTextFile(path);
	try {
		return JSON.parse(text);
	} catch (cause) {
		throw new FormatError("BAD_JSON", path, `${path} is not valid JSON: ${(cause as Error).message}`, { cause });
	}
}
