// Small copies of pictures beside a page.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileError, type ImageU8, readImage, resizeImage, writePng } from "@dreamdist/core";

/** The longer side of a thumbnail. */
const SIDE = 160;

export function thumbnailOf(image: ImageU8, side = SIDE): ImageU8 {
	const factor = side / Math.max(image.width, image.height);
	if (factor >= 1) return image;
	const reduced = (length: number) => Math.max(1, Math.round(length * factor));
	return resizeImage(image, reduced(image.width), reduced(image.height));
}

/** Thumbnails made when a page asks for them, each once. */
export class Thumbnails {
	private readonly names = new Map<string, string>();

	/** @param folder of the page; thumbnails go into `pictures/` of it */
	constructor(private readonly folder: string) {}

	/** @returns the thumbnail's address relative to the page */
	async of(file: string): Promise<string> {
		const known = this.names.get(file);
		if (known !== undefined) return known;
		const folder = join(this.folder, "pictures");
		try {
			await mkdir(folder, { recursive: true });
		} catch (error) {
			throw fileError(error, "make the folder", folder);
		}
		const name = `${String(this.names.size).padStart(5, "0")}.png`;
		await writePng(join(folder, name), thumbnailOf(await readImage(file)));
		const address = `pictures/${name}`;
		this.names.set(file, address);
		return address;
	}
}
