// Sliding windows over pictures [N, H, W, C]: what convolutions and pools share.
import { ShapeError } from "../graph/errors.js";
import { formatType, type Type } from "../graph/types.js";

/** One number for both directions, or [vertical, horizontal]. */
export type Pair = number | readonly [number, number];

/** One number for all sides, [vertical, horizontal], or [top, left, bottom, right]. */
export type Padding = number | readonly [number, number] | readonly [number, number, number, number];

/** How the window moves; the same attributes in every op that has one. */
export interface WindowAttributes {
	readonly stride: readonly [number, number];
	/** top, left, bottom, right */
	readonly padding: readonly [number, number, number, number];
	/** 2: the picture is first enlarged twice by repeating each pixel. */
	readonly upsample: 1 | 2;
}

/** A window laid over a picture. Height and width are those before enlargement. */
export interface WindowGeometry extends WindowAttributes {
	readonly n: number;
	readonly h: number;
	readonly w: number;
	readonly kh: number;
	readonly kw: number;
	readonly oh: number;
	readonly ow: number;
}

export function toPair(op: string, what: string, value: Pair): [number, number] {
	const list: readonly number[] = typeof value === "number" ? [value, value] : value;
	if (list.length !== 2 || list.some((n) => !Number.isInteger(n) || n < 1))
		throw new ShapeError(`${op}: the ${what} is one whole number ≥ 1 or two, not ${JSON.stringify(value)}`);
	return [list[0]!, list[1]!];
}

export function toPadding(op: string, value: Padding): [number, number, number, number] {
	const list: readonly number[] = typeof value === "number" ? [value, value] : value;
	if ((list.length !== 2 && list.length !== 4) || list.some((n) => !Number.isInteger(n) || n < 0))
		throw new ShapeError(
			`${op}: the padding is one whole number ≥ 0, [vertical, horizontal] or [top, left, bottom, right], not ${JSON.stringify(value)}`,
		);
	const [top, left, bottom = list[0]!, right = list[1]!] = list as [number, number, number?, number?];
	return [top, left, bottom, right];
}

/** Throws unless `x` is a picture of floats. */
export function checkPicture(op: string, x: Type): void {
	if (x.shape.length !== 4) throw new ShapeError(`${op}: expected a picture [N, H, W, C], got ${formatType(x)}`);
	if (x.dtype === "i32") throw new ShapeError(`${op}: i32 has no arithmetic (${formatType(x)}); cast it to f32 first`);
}

/** Lays a window over a picture of the given type; throws where it fits nowhere. */
export function windowOver(
	op: string,
	x: Type,
	kernel: readonly [number, number],
	window: WindowAttributes,
): WindowGeometry {
	checkPicture(op, x);
	const [n, h, w] = x.shape as [number, number, number, number];
	const [kh, kw] = kernel;
	const [top, left, bottom, right] = window.padding;
	const along = (size: number, padding: number, k: number, stride: number) =>
		Math.floor((size * window.upsample + padding - k) / stride) + 1;
	const oh = along(h, top + bottom, kh, window.stride[0]);
	const ow = along(w, left + right, kw, window.stride[1]);
	if (oh < 1 || ow < 1)
		throw new ShapeError(
			`${op}: a window of ${kh}×${kw} does not fit into ${formatType(x)} with padding [${window.padding.join(", ")}]`,
		);
	return { ...window, n, h, w, kh, kw, oh, ow };
}

/**
 * Visits every pair of an output pixel and an input pixel that its window covers, as flat pixel indices (batch included), with the
 * position in the window (row-major). Padding is left out.
 */
export function forEachTap(g: WindowGeometry, visit: (output: number, input: number, tap: number) => void): void {
	const height = g.h * g.upsample;
	const width = g.w * g.upsample;
	for (let b = 0; b < g.n; b++)
		for (let i = 0; i < g.oh; i++)
			for (let j = 0; j < g.ow; j++)
				for (let r = 0; r < g.kh; r++) {
					const y = i * g.stride[0] - g.padding[0] + r;
					if (y < 0 || y >= height) continue;
					for (let s = 0; s < g.kw; s++) {
						const x = j * g.stride[1] - g.padding[1] + s;
						if (x < 0 || x >= width) continue;
						const pixel = (b * g.h + Math.floor(y / g.upsample)) * g.w + Math.floor(x / g.upsample);
						visit((b * g.oh + i) * g.ow + j, pixel, r * g.kw + s);
					}
				}
}
