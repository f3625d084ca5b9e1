// The pictures of one of the world's reference sets, as files to learn from.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { UsageError } from "../errors.js";

/** What is learned where nothing else is named. */
export const DEFAULT_SET = "night-harbour";

/** @throws UsageError listing the sets, for a name that is none of theirs */
export async function checkSetName(name: string): Promise<void> {
	const { REFERENCE_SETS } = await import("@dreamdist/world");
	if (REFERENCE_SETS.some((set) => set.name === name)) return;
	const names = REFERENCE_SETS.map((set) => set.name).join(", ");
	throw new UsageError(`there is no reference set "${name}"; there are ${names}`);
}

/** What a set shows: the words that learning starts from. */
export async function setWords(name: string): Promise<string> {
	const { referenceSet } = await import("@dreamdist/world");
	return referenceSet(name).words;
}

/**
 * Draws the set's pictures into a folder, each with its scene inside.
 *
 * @returns the files, in their order
 */
export async function writeReferencePictures(name: string, folder: string): Promise<string[]> {
	const [{ writePng }, { PICTURE_BYTES, PICTURE_SIDE, referenceScenes, render }] = await Promise.all([
		import("@dreamdist/core"),
		import("@dreamdist/world"),
	]);
	await mkdir(folder, { recursive: true });
	const scenes = referenceScenes(name);
	const pictures = await render(scenes);
	const files: string[] = [];
	for (const [i, scene] of scenes.entries()) {
		const file = join(folder, `${name}-${String(i + 1).padStart(2, "0")}.png`);
		const data = pictures.slice(i * PICTURE_BYTES, (i + 1) * PICTURE_BYTES);
		await writePng(file, { width: PICTURE_SIDE, height: PICTURE_SIDE, channels: 3, data }, { recipe: { scene } });
		files.push(file);
	}
	return files;
}
