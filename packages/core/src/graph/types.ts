// Element types, shapes and the small arithmetic on them.
import { ShapeError } from "./errors.js";

/** Element type of a value. Compute is f32; f16 and bf16 are storage on the CPU. */
export type DType = "f32" | "f16" | "bf16" | "i32";

export type Shape = readonly number[];

/** Shape and element type of a value. */
export interface Type {
	readonly shape: Shape;
	readonly dtype: DType;
}

export function bytesPerElement(dtype: DType): number {
	return dtype === "f16" || dtype === "bf16" ? 2 : 4;
}

/** Number of elements; 1 for a scalar. */
export function sizeOf(shape: Shape): number {
	let size = 1;
	for (const n of shape) size *= n;
	return size;
}

export function bytesOf(type: Type): number {
	return sizeOf(type.shape) * bytesPerElement(type.dtype);
}

/** Row-major strides in elements. */
export function stridesOf(shape: Shape): number[] {
	const strides = new Array<number>(shape.length);
	let step = 1;
	for (let i = shape.length - 1; i >= 0; i--) {
		strides[i] = step;
		step *= shape[i]!;
	}
	return strides;
}

export function sameShape(a: Shape, b: Shape): boolean {
	return a.length === b.length && a.every((n, i) => n === b[i]);
}

/** "[2, 3]" */
export function formatShape(shape: Shape): string {
	return `[${shape.join(", ")}]`;
}

export function formatType(type: Type): string {
	return `${type.dtype}${formatShape(type.shape)}`;
}

/** Throws unless every dimension is a whole number that is not negative. */
export function checkShape(what: string, shape: Shape): void {
	for (const n of shape)
		if (!Number.isSafeInteger(n) || n < 0)
			throw new ShapeError(`${what}: ${formatShape(shape)} is not a shape; dimensions are whole numbers ≥ 0`);
}

/** Shapes side by side from the right; a dimension of 1 stretches (as in NumPy). */
export function broadcastShapes(op: string, shapes: readonly Shape[]): number[] {
	const rank = Math.max(0, ...shapes.map((s) => s.length));
	const out = new Array<number>(rank).fill(1);
	for (const shape of shapes)
		for (let i = 0; i < shape.length; i++) {
			const at = rank - shape.length + i;
			const n = shape[i]!;
			if (n === 1 || n === out[at]) continue;
			if (out[at] !== 1)
				throw new ShapeError(`${op}: the shapes ${shapes.map(formatShape).join(" and ")} can't be broadcast together`);
			out[at] = n;
		}
	return out;
}

/** An axis as 0 … rank−1; negative axes count from the end. */
export function normalizeAxis(op: string, axis: number, rank: number): number {
	const at = axis < 0 ? axis + rank : axis;
	if (!Number.isInteger(axis) || at < 0 || at >= rank)
		throw new ShapeError(`${op}: axis ${axis} does not exist in a value of rank ${rank}`);
	return at;
}

/** Several axes, sorted, each once; undefined means all. */
export function normalizeAxes(op: string, axes: readonly number[] | number | undefined, rank: number): number[] {
	if (axes === undefined) return Array.from({ length: rank }, (_, i) => i);
	const list = typeof axes === "number" ? [axes] : axes;
	const out = list.map((axis) => normalizeAxis(op, axis, rank)).sort((a, b) => a - b);
	if (new Set(out).size !== out.length) throw new ShapeError(`${op}: an axis is named twice in ${formatShape(list)}`);
	return out;
}
