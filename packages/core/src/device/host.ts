// Numbers between JavaScript's typed arrays and a device's storage types.
import { decodeBf16, decodeF16, encodeBf16, encodeF16 } from "../data/half.js";
import type { DType } from "../graph/types.js";

/** What programs give back: Int32Array for i32, Float32Array for everything else. */
export type HostArray = Float32Array | Int32Array;

/** As stored on a device: f16 and bf16 are bit patterns. */
export type StorageArray = Float32Array | Int32Array | Uint16Array;

export function toStorage(data: ArrayLike<number>, dtype: DType): StorageArray {
	if (dtype === "i32") return data instanceof Int32Array ? data : Int32Array.from(data);
	const f32 = data instanceof Float32Array ? data : Float32Array.from(data);
	return dtype === "f32" ? f32 : dtype === "f16" ? encodeF16(f32) : encodeBf16(f32);
}

export function fromStorage(data: StorageArray, dtype: DType): HostArray {
	if (data instanceof Uint16Array) return dtype === "f16" ? decodeF16(data) : decodeBf16(data);
	return data;
}

export function emptyStorage(size: number, dtype: DType): StorageArray {
	return dtype === "i32" ? new Int32Array(size) : dtype === "f32" ? new Float32Array(size) : new Uint16Array(size);
}
