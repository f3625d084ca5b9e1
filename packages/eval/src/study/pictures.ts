// Pictures as annotators get them: decoded and encoded anew, so that nothing but pixels is left, at sides that tell no method apart.
import { utimes } from "node:fs/promises";
import { join } from "node:path";
import {
	centerCrop,
	createImage,
	cropImage,
	fileError,
	type ImageU8,
	pasteImage,
	readImage,
	resizeImage,
	writePng,
} from "@dreamdist/core";
import { pictureFile } from "./study-file.js";

/** A picture to be written under a random name. */
export interface PictureJob {
	readonly id: string;
	readonly file: string;
	/** The longer side becomes this, where it is longer. */
	readonly side: number;
	/** Cut to its middle square first. */
	readonly square?: boolean;
	/** Cut into tiles that are put together in this order; undefined leaves the picture whole. */
	readonly tiles?: readonly number[];
}

/** Tiles of a scrambled picture along each side. */
export const TILES = 6;

/** Pictures that are decoded and encoded at the same time. */
const AT_ONCE = 4;

function reduced(image: ImageU8, side: number): ImageU8 {
	const factor = side / Math.max(image.width, image.height);
	if (factor >= 1) return image;
	const length = (each: number) => Math.max(1, Math.round(each * factor));
	return resizeImage(image, length(image.width), length(image.height));
}

/** Puts the tiles of a picture in another order; what the tiles don't divide is cut off. */
function scrambled(image: ImageU8, order: readonly number[]): ImageU8 {
	const [width, height] = [image.width, image.height].map((each) => Math.floor(each / TILES)) as [number, number];
	if (width === 0 || height === 0) return image;
	const corner = (tile: number) => [(tile % TILES) * width, Math.floor(tile / TILES) * height] as const;
	const result = createImage(width * TILES, height * TILES);
	for (const [to, from] of order.entries())
		pasteImage(result, cropImage(image, ...corner(from), width, height), ...corner(to));
	return result;
}

async function pictureOf({ file, side, square, tiles }: PictureJob): Promise<ImageU8> {
	const read = await readImage(file);
	const image = reduced(square ? centerCrop(read, Math.min(read.width, read.height)) : read, side);
	return tiles ? scrambled(image, tiles) : image;
}

/**
 * Writes PNGs of pixels alone, all with the same time on them.
 *
 * @param jobs in the order of writing, which should be random: a folder's own order can tell when a file was made
 * @throws FormatError or FileError naming the picture that can't be read
 */
export async function writePictures(
	folder: string,
	jobs: readonly PictureJob[],
	{ time, signal, onPicture }: { time: Date; signal?: AbortSignal; onPicture?(done: number, total: number): void },
): Promise<void> {
	let next = 0;
	let done = 0;
	const failure = new AbortController();
	const stop = signal ? AbortSignal.any([signal, failure.signal]) : failure.signal;
	const work = async (): Promise<void> => {
		for (let job = jobs[next++]; job !== undefined; job = jobs[next++]) {
			stop.throwIfAborted();
			const path = join(folder, pictureFile(job.id));
			await writePng(path, await pictureOf(job));
			try {
				await utimes(path, time, time);
			} catch (error) {
				throw fileError(error, "set the time of", path);
			}
			onPicture?.(++done, jobs.length);
		}
	};
	const workers = Array.from({ length: AT_ONCE }, async () => {
		try {
			await work();
		} catch (error) {
			failure.abort(error);
			throw error;
		}
	});
	// All have ended before the folder is anyone else's again.
	await Promise.allSettled(workers);
	await Promise.all(workers);
}
