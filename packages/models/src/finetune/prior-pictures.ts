// The prior's pictures: what the model itself paints of the class before it is changed. Pictures that are there already are used first.
import { readdir } from "node:fs/promises";
import { extname, join } from "node:path";
import { defaultSize, type FrozenModel, generate, makeFolders, writePng } from "@dreamdist/core";

const PICTURES = new Set([".jpg", ".jpeg", ".png", ".webp", ".avif"]);
/** Sampled at once. It changes none. */
const BATCH = 4;

export interface PriorPicturesOptions {
	/** The class in words. */
	readonly prompt: string;
	readonly count: number;
	readonly seed: number;
	/** Width and height in pixels. Default: the model's own. */
	readonly size?: readonly [width: number, height: number] | undefined;
	/** Sampling steps and guidance. Default: the model's own. */
	readonly steps?: number | undefined;
	readonly guidance?: number | undefined;
	readonly signal?: AbortSignal | undefined;
	/** Told how many there are, before the first and after each. */
	readonly onPicture?: ((done: number, count: number) => void) | undefined;
}

async function picturesIn(folder: string): Promise<string[]> {
	const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
		if (error.code === "ENOENT") return [];
		throw error;
	});
	return names.filter((name) => PICTURES.has(extname(name).toLowerCase())).sort();
}

/**
 * The first `count` pictures of a folder, by name; where there are fewer, the model paints the rest into it. Picture `prior-0007.png` is the
 * same whichever of them were there before.
 */
export async function priorPictures(
	model: FrozenModel,
	folder: string,
	options: PriorPicturesOptions,
): Promise<string[]> {
	const { prompt, count, seed, size = defaultSize(model), steps, guidance, signal, onPicture } = options;
	await makeFolders(folder);
	const there = await picturesIn(folder);
	onPicture?.(Math.min(there.length, count), count);
	const names = new Set(there);
	const nameOf = (index: number) => `prior-${String(index).padStart(4, "0")}.png`;
	const missing: number[] = [];
	for (let index = 0; names.size < count; index++)
		if (!names.has(nameOf(index))) {
			missing.push(index);
			names.add(nameOf(index));
		}
	let done = there.length;
	const write = async (first: number, number: number) => {
		const pictures = generate(model, prompt, {
			count: number,
			batch: Math.min(BATCH, number),
			firstIndex: first,
			seed,
			size,
			...(steps !== undefined && { steps }),
			...(guidance !== undefined && { guidance }),
			...(signal && { signal }),
		});
		for await (const { image, index } of pictures) {
			await writePng(join(folder, nameOf(index)), image, { recipe: { dreamdist: "prior", prompt, seed, index } });
			onPicture?.(++done, count);
		}
	};
	for (let at = 0; at < missing.length; ) {
		let end = at + 1;
		while (end < missing.length && missing[end] === missing[end - 1]! + 1) end++;
		await write(missing[at]!, end - at);
		at = end;
	}
	return (await picturesIn(folder)).slice(0, count).map((name) => join(folder, name));
}
