// NumPy's array format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
import { ArgumentError } from "../../errors.js";

/** What the start of an .npy file says. */
export interface NpyHeader {
	/** As NumPy writes it: "<f4". */
	readonly descr: string;
	readonly fortranOrder: boolean;
	readonly shape: readonly number[];
	/** Position of the first element. */
	readonly dataOffset: number;
}

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
/** Arrays of records with very many fields may have longer headers; arrays of numbers never do. */
const MAX_HEADER = 65536;
/** NumPy's own bound. */
const MAX_SIDES = 64;

/**
 * @param bytes the whole file, or at least its header
 * @throws Error with the reason as half a sentence; the caller knows the file's name
 */
export function parseNpyHeader(bytes: Uint8Array): NpyHeader {
	if (bytes.length < 10 || MAGIC.some((byte, i) => bytes[i] !== byte)) throw new Error("it is not in the .npy format");
	const [major] = [bytes[6]!];
	if (major < 1 || major > 3) throw new Error(`it has version ${major} of the .npy format; 1 to 3 are read`);
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const start = major === 1 ? 10 : 12;
	if (bytes.length < start) throw new Error("its header was cut off");
	const length = major === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
	if (length > MAX_HEADER) throw new Error(`its header of ${length} bytes is over the limit of ${MAX_HEADER}`);
	if (start + length > bytes.length) throw new Error("its header was cut off");
	const text = new TextDecoder("latin1").decode(bytes.subarray(start, start + length));
	return { ...parseDictionary(text), dataOffset: start + length };
}

/** The one form of Python dictionary that NumPy writes: the three keys, in any order. */
function parseDictionary(text: string): Omit<NpyHeader, "dataOffset"> {
	const entries = new Map<string, string>();
	const inner = /^\s*\{(.*)\}\s*$/s.exec(text)?.[1];
	if (inner === undefined) throw new Error("its header is no dictionary");
	const entry = /\s*'(\w+)'\s*:\s*('[^']*'|True|False|\([^()]*\)|\[[^\]]*\])\s*(?:,|$)/y;
	while (entry.lastIndex < inner.length) {
		const at = entry.lastIndex;
		const match = entry.exec(inner);
		if (!match) {
			if (/^\s*$/.test(inner.slice(at))) break;
			throw new Error("its header can't be understood");
		}
		entries.set(match[1]!, match[2]!);
	}
	const [descr, order, shape] = ["descr", "fortran_order", "shape"].map((key) => entries.get(key));
	if (!descr || !order || !shape) throw new Error('its header lacks "descr", "fortran_order" or "shape"');
	if (!descr.startsWith("'")) throw new Error("it is an array of records");
	const sides = /^\(([\d,\s]*)\)$/.exec(shape)?.[1];
	if (sides === undefined) throw new Error(`its shape ${shape.slice(0, 80)} can't be understood`);
	const numbers = sides
		.split(",")
		.filter((side) => side.trim() !== "")
		.map(Number);
	if (numbers.length > MAX_SIDES) throw new Error(`its shape has ${numbers.length} sides`);
	if (!numbers.every((side) => Number.isSafeInteger(side)))
		throw new Error(`its shape ${shape.slice(0, 80)} is not whole`);
	return { descr: descr.slice(1, -1), fortranOrder: order === "True", shape: numbers };
}

/** The bytes before the elements, padded so that these begin at a multiple of 64. */
export function formatNpyHeader(descr: string, shape: readonly number[]): Uint8Array {
	const sides = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
	const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${sides}, }`;
	const length = Math.ceil((10 + text.length + 1) / 64) * 64 - 10;
	if (length > 0xffff) throw new ArgumentError(`a shape of ${shape.length} sides does not fit an .npy header`);
	const bytes = Buffer.alloc(10 + length, " ");
	bytes.set([...MAGIC, 1, 0], 0);
	bytes.writeUInt16LE(length, 8);
	bytes.write(text, 10, "latin1");
	bytes[bytes.length - 1] = 0x0a;
	return bytes;
}

const FLOATS: Readonly<Record<string, (data: DataView, at: number) => number>> = {
	f8: (data, at) => data.getFloat64(at, true),
	f4: (data, at) => data.getFloat32(at, true),
	i8: (data, at) => Number(data.getBigInt64(at, true)),
	i4: (data, at) => data.getInt32(at, true),
	i2: (data, at) => data.getInt16(at, true),
	i1: (data, at) => data.getInt8(at),
	u1: (data, at) => data.getUint8(at),
	b1: (data, at) => data.getUint8(at),
};

/** An array of numbers, row-major. @throws Error with the reason as half a sentence */
export function readNpyNumbers(bytes: Uint8Array): { shape: readonly number[]; data: Float64Array } {
	const { descr, fortranOrder, shape, dataOffset } = parseNpyHeader(bytes);
	const match = /^([<|=>])([a-z])(\d)$/.exec(descr);
	const read = match && (match[1] !== ">" || match[3] === "1") ? FLOATS[`${match[2]}${match[3]}`] : undefined;
	if (!match || !read) throw new Error(`it holds ${describe(descr)}, not numbers that are read here`);
	const width = Number(match[3]);
	const count = shape.reduce((a, b) => a * b, 1);
	if (count * width !== bytes.length - dataOffset)
		throw new Error(`its shape [${shape.join(", ")}] of ${descr} does not fit its ${bytes.length - dataOffset} bytes`);
	const view = new DataView(bytes.buffer, bytes.byteOffset + dataOffset, count * width);
	const data = Float64Array.from({ length: count }, (_, i) => read(view, i * width));
	return { shape, data: fortranOrder && shape.length > 1 ? rowMajor(data, shape) : data };
}

/** An array of texts ("<U12"). @throws Error with the reason as half a sentence */
export function readNpyTexts(bytes: Uint8Array): string[] {
	const { descr, shape, dataOffset } = parseNpyHeader(bytes);
	const match = /^<U(\d{1,6})$/.exec(descr);
	if (!match) throw new Error(`it holds ${describe(descr)}, not texts`);
	const length = Number(match[1]);
	const count = shape.reduce((a, b) => a * b, 1);
	if (count * length * 4 !== bytes.length - dataOffset) throw new Error("its texts do not fit its bytes");
	// Texts of no characters take no bytes, so their number is bounded by nothing.
	if (length === 0 && count > 1_000_000) throw new Error(`it claims ${count} empty texts`);
	const view = new DataView(bytes.buffer, bytes.byteOffset + dataOffset);
	return Array.from({ length: count }, (_, i) => {
		let text = "";
		for (let k = 0; k < length; k++) {
			const point = view.getUint32((i * length + k) * 4, true);
			if (point === 0) break;
			if (point > 0x10ffff) throw new Error("its texts are damaged");
			text += String.fromCodePoint(point);
		}
		return text;
	});
}

function describe(descr: string): string {
	return descr.includes("O") ? "Python objects" : `elements of type "${descr.slice(0, 20)}"`;
}

function rowMajor(data: Float64Array, shape: readonly number[]): Float64Array {
	const out = new Float64Array(data.length);
	const index = new Array<number>(shape.length).fill(0);
	const strides: number[] = [];
	shape.reduce((stride, side, axis) => {
		strides[axis] = stride;
		return stride * side;
	}, 1);
	for (let i = 0; i < out.length; i++) {
		out[i] = data[index.reduce((at, place, axis) => at + place * strides[axis]!, 0)]!;
		for (let axis = shape.length - 1; axis >= 0; axis--) {
			if (++index[axis]! < shape[axis]!) break;
			index[axis] = 0;
		}
	}
	return out;
}
