/** Bytes per element of the element types that a safetensors header can name and whose elements are whole bytes. */
const BYTES = {
	BOOL: 1,
	U8: 1,
	I8: 1,
	F8_E4M3: 1,
	F8_E5M2: 1,
	F8_E8M0: 1,
	U16: 2,
	I16: 2,
	F16: 2,
	BF16: 2,
	U32: 4,
	I32: 4,
	F32: 4,
	U64: 8,
	I64: 8,
	F64: 8,
	C64: 8,
} as const;

/** An element type as a safetensors header spells it. */
export type SafetensorsDtype = keyof typeof BYTES;

/** The names of all element types, smallest elements first. */
export const SAFETENSORS_DTYPES = Object.keys(BYTES) as SafetensorsDtype[];

export function isSafetensorsDtype(value: unknown): value is SafetensorsDtype {
	return typeof value === "string" && Object.hasOwn(BYTES, value);
}

/** Bytes that one element of a type takes. */
export function bytesPerElement(dtype: SafetensorsDtype): number {
	return BYTES[dtype];
}

/**
 * The bytes of a tensor, or undefined when the product of its shape is not a whole number that a double holds exactly.
 * A side of 0 is allowed, and an empty shape is a single element.
 */
export function tensorBytes(dtype: SafetensorsDtype, shape: readonly number[]): number | undefined {
	if (!shape.every((side) => Number.isSafeInteger(side) && side >= 0)) return undefined;
	if (shape.includes(0)) return 0;
	let bytes: number = BYTES[dtype];
	for (const side of shape) {
		bytes *= side;
		if (!Number.isSafeInteger(bytes)) return undefined;
	}
	return bytes;
}
