import ndarray from "ndarray";
import { ArgumentError } from "../errors.js";

/** The typed arrays that an ndarray can stand on here. */
export type NdarrayData = ndarray.TypedArray | BigInt64Array<ArrayBuffer> | BigUint64Array<ArrayBuffer>;

/**
 * Row-major data as an `ndarray` of the given shape. Nothing is copied: both see the same memory.
 *
 * @throws ArgumentError when the shape does not have as many elements as the data
 */
export function toNdarray<D extends NdarrayData>(data: D, shape: readonly number[]): ndarray.NdArray<D> {
	const size = elementCount(shape);
	if (size !== data.length) {
		throw new ArgumentError(`shape [${shape.join(", ")}] has ${size} elements but the data have ${data.length}`);
	}
	return ndarray(data, [...shape]);
}

/**
 * An `ndarray` of any strides and offset as row-major data. An array that already lies row-major in one piece (also a
 * slice of a larger one) is not copied: the result then shares its memory. Plain arrays of numbers become float32.
 *
 * @throws ArgumentError when the array reaches outside its data, or its elements are not numbers
 */
export function fromNdarray<D extends NdarrayData | number[]>(
	array: ndarray.NdArray<D>,
): { data: D extends number[] ? Float32Array : D; shape: number[] };
export function fromNdarray(array: ndarray.NdArray<NdarrayData | number[]>): { data: NdarrayData; shape: number[] } {
	const shape = [...array.shape];
	const { data, stride, offset } = array;
	if (!isTypedArray(data) && !Array.isArray(data)) {
		throw new ArgumentError(
			`an ndarray of dtype ${array.dtype} cannot be converted; it must hold a typed array or numbers`,
		);
	}
	const size = elementCount(shape);
	checkReach(shape, stride, offset, data.length);
	if (isTypedArray(data) && isRowMajor(shape, stride)) return { data: data.subarray(offset, offset + size), shape };
	const source = data as ArrayLike<number>;
	const out = isTypedArray(data)
		? new (data.constructor as new (length: number) => NdarrayData)(size)
		: new Float32Array(size);
	gather(source, out as { [index: number]: number }, shape, stride, offset);
	return { data: out, shape };
}

/** Copies along the last axis in a plain loop and counts the others like the wheels of an odometer. */
function gather(
	source: ArrayLike<number>,
	out: { [index: number]: number },
	shape: readonly number[],
	stride: readonly number[],
	offset: number,
): void {
	if (shape.includes(0)) return;
	const axis = shape.length - 1;
	const length = shape[axis] ?? 1;
	const step = stride[axis] ?? 0;
	const position = new Array<number>(Math.max(0, axis)).fill(0);
	let at = offset;
	for (let to = 0; ; ) {
		for (let i = 0; i < length; i++) out[to++] = source[at + i * step]!;
		let wheel = axis - 1;
		while (wheel >= 0 && position[wheel] === shape[wheel]! - 1) {
			at -= position[wheel]! * stride[wheel]!;
			position[wheel--] = 0;
		}
		if (wheel < 0) return;
		position[wheel]!++;
		at += stride[wheel]!;
	}
}

/** Whether consecutive elements are neighbours; the stride of an axis of length 1 does not matter. */
function isRowMajor(shape: readonly number[], stride: readonly number[]): boolean {
	let expected = 1;
	for (let axis = shape.length - 1; axis >= 0; axis--) {
		if (shape[axis] !== 1 && stride[axis] !== expected) return false;
		expected *= shape[axis]!;
	}
	return true;
}

function checkReach(shape: readonly number[], stride: readonly number[], offset: number, length: number): void {
	if (shape.includes(0)) return;
	let lowest = offset;
	let highest = offset;
	shape.forEach((side, axis) => {
		const reach = (side - 1) * stride[axis]!;
		if (reach < 0) lowest += reach;
		else highest += reach;
	});
	if (lowest >= 0 && highest < length) return;
	throw new ArgumentError(
		`an ndarray of shape [${shape.join(", ")}], stride [${stride.join(", ")}] and offset ${offset} reaches outside its ${length} elements`,
	);
}

function elementCount(shape: readonly number[]): number {
	if (!shape.every((side) => Number.isSafeInteger(side) && side >= 0)) {
		throw new ArgumentError(`[${shape.join(", ")}] is not a shape; its sides must be whole numbers from 0 on`);
	}
	return shape.reduce((a, b) => a * b, 1);
}

function isTypedArray(data: unknown): data is NdarrayData {
	return ArrayBuffer.isView(data) && !(data instanceof DataView);
}
