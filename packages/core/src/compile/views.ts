// How a value lies in memory: whole, or as a strided view of it.
import { sizeOf, stridesOf, type Type } from "../graph/types.js";
import type { PitchedOperand, StridedOperand } from "./lowering.js";
import type { Storage } from "./storage.js";

/** A storage's whole contents as a value of this type. */
export function whole(storage: Storage, { shape }: Pick<Type, "shape">): StridedOperand {
	return { storage, offset: 0, dtype: storage.dtype, extent: sizeOf(shape), shape, strides: stridesOf(shape) };
}

/** Elements from a view's first to its last, both counted. */
export function extentOf(view: Pick<StridedOperand, "shape" | "strides">): number {
	if (sizeOf(view.shape) === 0) return 0;
	let last = 0;
	view.shape.forEach((n, i) => {
		last += (n - 1) * view.strides[i]!;
	});
	return last + 1;
}

export function isContiguous(view: Pick<StridedOperand, "shape" | "strides">): boolean {
	let step = 1;
	for (let i = view.shape.length - 1; i >= 0; i--) {
		if (view.shape[i] !== 1 && view.strides[i] !== step) return false;
		step *= view.shape[i]!;
	}
	return true;
}

/** The view as rows with a pitch, in batches over its first axes; null: it can't be read so. */
export function pitchedOf(view: StridedOperand, batchAxes: number): PitchedOperand | null {
	const last = view.shape.length - 1;
	if (view.shape[last] !== 1 && view.strides[last] !== 1) return null;
	const pitch = mergedStride(view, batchAxes, last);
	const batchStride = mergedStride(view, 0, batchAxes);
	if (pitch === null || batchStride === null) return null;
	const { storage, offset, dtype, extent } = view;
	return { storage, offset, dtype, extent, pitch: pitch || view.shape[last]!, batchStride };
}

/** The single stride that axes [from, to) have when read as one, 0 if they hold one element; null: they can't. */
function mergedStride(view: StridedOperand, from: number, to: number): number | null {
	let stride = 0;
	let next = -1;
	for (let axis = to - 1; axis >= from; axis--) {
		if (view.shape[axis] === 1) continue;
		if (next >= 0 && view.strides[axis] !== next) return null;
		if (next < 0) stride = view.strides[axis]!;
		next = view.strides[axis]! * view.shape[axis]!;
	}
	return stride;
}
