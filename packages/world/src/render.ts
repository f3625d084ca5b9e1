// Pictures of scenes: several scenes in one SVG per call of sharp, drawn larger and reduced, then finished by their styles.
import sharp, { type Sharp } from "sharp";
import { drawScene } from "./drawing.js";
import type { Scene } from "./scene.js";
import { type Style, styleOf } from "./styles/index.js";

/** Pixels on a side. */
export const PICTURE_SIDE = 64;
/** Of RGB, row by row. */
export const PICTURE_BYTES = PICTURE_SIDE * PICTURE_SIDE * 3;

/** Painted around each picture, as wide as the reduction's filter reaches: none ever sees its neighbours. */
const MARGIN = 4;
const PITCH = PICTURE_SIDE + 2 * MARGIN;
const COLUMNS = 4;
/** Pictures a call: fewer waste time in calls, more do not gain. */
const BATCH = 16;
/** Subpixels on a side; cells are drawn as they are. */
const OVERSAMPLING = 2;

/**
 * Draws scenes.
 *
 * The same scenes in the same order give the same bytes with the same sharp; among other scenes, a picture with gradients may differ by 1.
 *
 * @returns n · 64 · 64 · 3 bytes: RGB pictures one after another, row by row
 */
export async function render(scenes: readonly Scene[]): Promise<Uint8Array> {
	const pictures = new Uint8Array(scenes.length * PICTURE_BYTES);
	const places = scenes.map((scene, at) => ({ scene, pixels: picture(pictures, at) }));
	const cells = places.filter(({ scene }) => scene.style === "mosaic");
	const smooth = places.filter(({ scene }) => scene.style !== "mosaic");
	for (const [list, oversampling] of [
		[smooth, OVERSAMPLING],
		[cells, 1],
	] as const)
		for (let at = 0; at < list.length; at += BATCH) await drawBatch(list.slice(at, at + BATCH), oversampling);
	return pictures;
}

function picture(pictures: Uint8Array, at: number): Uint8Array {
	return pictures.subarray(at * PICTURE_BYTES, (at + 1) * PICTURE_BYTES);
}

interface Place {
	readonly scene: Scene;
	readonly pixels: Uint8Array;
}

async function drawBatch(places: readonly Place[], oversampling: number): Promise<void> {
	const columns = Math.min(COLUMNS, places.length);
	const width = columns * PITCH;
	const height = Math.ceil(places.length / columns) * PITCH;
	const corner = (i: number) => [(i % columns) * PITCH, Math.floor(i / columns) * PITCH] as const;

	let definitions = "";
	let body = "";
	places.forEach(({ scene }, i) => {
		const drawing = drawScene(scene, `t${i}_`);
		const [x, y] = corner(i);
		const crisp = scene.style === "mosaic" ? ' shape-rendering="crispEdges"' : "";
		definitions += drawing.definitions;
		body += `<svg x="${x}" y="${y}" width="${PITCH}" height="${PITCH}" viewBox="${-MARGIN} ${-MARGIN} ${PITCH} ${PITCH}" overflow="hidden"${crisp}>${drawing.body}</svg>`;
	});
	const size = `width="${width * oversampling}" height="${height * oversampling}"`;
	const svg = `<svg xmlns="http://www.w3.org/2000/svg" ${size} viewBox="0 0 ${width} ${height}"><defs>${definitions}</defs>${body}</svg>`;
	const { data, channels } = await rasterise(svg, width, height, oversampling);

	places.forEach(({ scene, pixels }, i) => {
		const [x, y] = corner(i);
		for (let row = 0; row < PICTURE_SIDE; row++) {
			let from = ((y + MARGIN + row) * width + x + MARGIN) * channels;
			let to = row * PICTURE_SIDE * 3;
			for (let column = 0; column < PICTURE_SIDE; column++, from += channels) {
				pixels[to++] = data[from]!;
				pixels[to++] = data[from + 1]!;
				pixels[to++] = data[from + 2]!;
			}
		}
		const style: Style = styleOf(scene.style);
		style.finish?.(scene, pixels, PICTURE_SIDE);
	});
}

async function rasterise(
	svg: string,
	width: number,
	height: number,
	oversampling: number,
): Promise<{ data: Uint8Array; channels: number }> {
	const pixels = async (picture: Sharp) => {
		const { data, info } = await picture.raw().toBuffer({ resolveWithObject: true });
		return { data, width: info.width, height: info.height, channels: info.channels };
	};
	const drawn = await pixels(
		sharp(Buffer.from(svg), { limitInputPixels: false, unlimited: true })
			.flatten({ background: "#808080" })
			.removeAlpha(),
	);
	if (oversampling === 1) return drawn;
	// In two steps: sharp would otherwise draw the SVG at the smaller size.
	const { data, ...raw } = drawn;
	return pixels(sharp(data, { raw }).resize(width, height, { kernel: "lanczos3", fit: "fill" }));
}
