// A folder of pictures as a set to compare on: set.json beside them says what it shows.
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { SetToCompare } from "@dreamdist/eval";
import { CommandError } from "../errors.js";

/** @throws CommandError where set.json is missing or incomplete, with what it must hold */
export async function folderSet(folder: string): Promise<SetToCompare> {
	const [{ findPictures }, { setTextsSchema }] = await Promise.all([
		import("@dreamdist/core"),
		import("@dreamdist/eval"),
	]);
	const path = join(folder, "set.json");
	const example = '{ "noun": "cat", "shortCaption": "a cat", "longCaption": "a ginger cat asleep on a red sofa" }';
	let json: unknown;
	try {
		json = JSON.parse(await readFile(path, "utf8"));
	} catch (error) {
		const reason = error instanceof SyntaxError ? `is not JSON (${error.message})` : "can't be read";
		throw new CommandError(`${path} ${reason}; it says what the set shows: ${example}`);
	}
	const texts = setTextsSchema.safeParse(json);
	if (!texts.success) {
		const { path: keys, message } = texts.error.issues[0]!;
		throw new CommandError(`${path}: "${keys.join(".")}" ${message}; it must be such as ${example}`);
	}
	const references = (await findPictures([folder])).map((picture) => picture.path);
	return { name: basename(folder), references, texts: texts.data };
}
