// The contact sheet of a call: all pictures in rows of five, or a sweep with its columns labelled.
import type { ImageU8, SweptPicture } from "@dreamdist/core";

/** At most so many pictures side by side where they are in no columns of their own. */
const COLUMNS = 5;
/** Longest side of a picture on a sheet. */
const CELL = 256;
/** Room for a column's label, whatever the pictures' width. */
const MIN_LABEL = 130;
/** More would make a sheet that few programs open, and keep as many pictures in memory. */
const MAX_PICTURES = 400;

/** Keeps pictures, reduced to their place on the sheet, until it is written. */
export class PictureSheet {
	readonly #labels: readonly string[];
	readonly #rows: ImageU8[][] = [];
	readonly #rowLabels: string[] = [];
	#kept = 0;
	#left = 0;

	/** @param labels of a sweep's columns; a single one: no sweep */
	constructor(labels: readonly string[]) {
		this.#labels = labels;
	}

	async add({ index, column, image }: SweptPicture): Promise<void> {
		const swept = this.#labels.length > 1;
		const row = swept ? index : Math.floor(index / COLUMNS);
		// A sweep's last row is whole.
		if (swept ? (row + 1) * this.#labels.length > MAX_PICTURES : this.#kept >= MAX_PICTURES) {
			this.#left++;
			return;
		}
		this.#kept++;
		this.#rows[row] ??= [];
		this.#rowLabels[row] = `picture ${index}`;
		this.#rows[row][swept ? column : index % COLUMNS] = await reduced(image);
	}

	/** @returns how many pictures are not on it */
	async write(path: string, title: string): Promise<number> {
		const { contactSheet, writePng } = await import("@dreamdist/core");
		const swept = this.#labels.length > 1;
		const sheet = await contactSheet(this.#rows, {
			...(swept && { cellWidth: Math.max(MIN_LABEL, ...this.#rows.flat().map(({ width }) => width)) }),
			...(swept && { columnLabels: this.#labels, rowLabels: this.#rowLabels }),
		});
		await writePng(path, sheet.image, { text: { Title: title } });
		return this.#left;
	}
}

async function reduced(image: ImageU8): Promise<ImageU8> {
	const scale = CELL / Math.max(image.width, image.height);
	if (scale >= 1) return image;
	const { resizeImage } = await import("@dreamdist/core");
	const side = (length: number) => Math.max(1, Math.round(length * scale));
	return resizeImage(image, side(image.width), side(image.height), "lanczos");
}
