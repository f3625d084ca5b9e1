// Shears, translations and rotations, byte for byte as Pillow's Image.transform and Image.rotate.
import { createImage, type ImageU8 } from "@dreamdist/core";

export type AffineFilter = "bilinear" | "bicubic";
type Colour = readonly [red: number, green: number, blue: number];

/** Where output pixel (x, y) reads: at (a·(x+½) + b·(y+½) + c, d·(x+½) + e·(y+½) + f). */
export type Affine = readonly [a: number, b: number, c: number, d: number, e: number, f: number];

/** Pillow's cubic through four neighbours (a = −1; its resizing has another). */
function cubic(v1: number, v2: number, v3: number, v4: number, d: number): number {
	const p2 = -v1 + v3;
	const p3 = 2 * (v1 - v2) + v3 - v4;
	const p4 = -v1 + v2 - v3 + v4;
	return v2 + d * (p2 + d * (p3 + d * p4));
}

/**
 * A picture of the same size. Neighbours beyond the border are repeated; pixels that read from outside the picture take `fill`.
 * Results are clamped and truncated, as Pillow does.
 */
export function transformImage(
	image: ImageU8,
	[a, b, c, d, e, f]: Affine,
	filter: AffineFilter,
	fill: Colour,
): ImageU8 {
	const { width, height, data } = image;
	const target = createImage(width, height, fill);
	const taps = filter === "bicubic" ? 4 : 2;
	const before = taps / 2 - 1;
	const columns = new Int32Array(taps);
	const rows = new Int32Array(taps);
	const line = new Float64Array(taps);
	for (let y = 0; y < height; y++)
		for (let x = 0; x < width; x++) {
			const xin = a * (x + 0.5) + b * (y + 0.5) + c;
			const yin = d * (x + 0.5) + e * (y + 0.5) + f;
			if (!(xin >= 0 && xin < width && yin >= 0 && yin < height)) continue;
			const left = Math.floor(xin - 0.5);
			const top = Math.floor(yin - 0.5);
			const dx = xin - 0.5 - left;
			const dy = yin - 0.5 - top;
			for (let k = 0; k < taps; k++) {
				columns[k] = 3 * Math.min(width - 1, Math.max(0, left - before + k));
				rows[k] = 3 * width * Math.min(height - 1, Math.max(0, top - before + k));
			}
			for (let channel = 0; channel < 3; channel++) {
				const at = (row: number, column: number) => data[rows[row]! + columns[column]! + channel]!;
				for (let k = 0; k < taps; k++)
					line[k] =
						taps === 4 ? cubic(at(k, 0), at(k, 1), at(k, 2), at(k, 3), dx) : at(k, 0) + (at(k, 1) - at(k, 0)) * dx;
				const value =
					taps === 4 ? cubic(line[0]!, line[1]!, line[2]!, line[3]!, dy) : line[0]! + (line[1]! - line[0]!) * dy;
				target.data[(y * width + x) * 3 + channel] = Math.min(255, Math.max(0, value));
			}
		}
	return target;
}

/** Turns about the centre, counter-clockwise by `degrees`; what is turned out of the picture is lost. */
export function rotateImage(image: ImageU8, degrees: number, filter: AffineFilter, fill: Colour): ImageU8 {
	const turn = ((degrees % 360) + 360) % 360;
	if (turn === 0) return { ...image, data: image.data.slice() };
	const radians = -(turn * (Math.PI / 180));
	const round = (value: number) => Number(value.toFixed(15));
	const [cosine, sine] = [round(Math.cos(radians)), round(Math.sin(radians))];
	const [x, y] = [image.width / 2, image.height / 2];
	return transformImage(
		image,
		[cosine, sine, cosine * -x + sine * -y + x, -sine, cosine, -sine * -x + cosine * -y + y],
		filter,
		fill,
	);
}
