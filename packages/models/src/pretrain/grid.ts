// Grids of pictures to look at while a stage runs.
import { contactSheet, type ImageU8, resizeImage, writePng } from "@dreamdist/core";
import { PICTURE_BYTES, PICTURE_SIDE } from "@dreamdist/world";

/** Each pixel becomes so many on a side: 64 pixels are small on a screen. */
const ZOOM = 2;

/** Picture `index` of bytes one after another. */
export function pictureAt(pictures: Uint8Array, index: number): ImageU8 {
	const data = pictures.slice(index * PICTURE_BYTES, (index + 1) * PICTURE_BYTES);
	return { width: PICTURE_SIDE, height: PICTURE_SIDE, channels: 3, data };
}

export async function writeGrid(
	path: string,
	rows: readonly (readonly ImageU8[])[],
	labels: { rowLabels?: readonly string[]; columnLabels?: readonly string[] } = {},
): Promise<void> {
	const enlarged = rows.map((row) =>
		row.map((image) => resizeImage(image, image.width * ZOOM, image.height * ZOOM, "bilinear")),
	);
	const { image } = await contactSheet(enlarged, { ...labels, gap: 4, fontSize: 11 });
	await writePng(path, image);
}
