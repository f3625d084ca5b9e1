// Tensors as PyTorch's files describe them: a view of a storage.
import { PickleError } from "../pickle/byte-reader.js";
import { PickleExtension } from "../pickle/values.js";
import { bytesPerElement, type SafetensorsDtype } from "../safetensors/dtype.js";

/** A run of elements stored outside of the pickle. */
export class TorchStorage extends PickleExtension {
	constructor(
		/** Null: bytes, whose type the tensor says. */
		readonly dtype: SafetensorsDtype | null,
		readonly key: string,
		/** Elements; bytes where there is no dtype. */
		readonly count: number,
		/** Old files: which part of the stored one this is, in elements. */
		readonly viewOffset = 0,
	) {
		super();
	}

	describe(): string {
		return "a storage";
	}
}

/** A view of a storage. Its bounds were checked against the storage. */
export class TorchTensor extends PickleExtension {
	readonly dtype: SafetensorsDtype;
	/** Elements. */
	readonly count: number;

	/** @throws PickleError unless it lies within its storage */
	constructor(
		readonly storage: TorchStorage,
		dtype: SafetensorsDtype | null,
		/** In elements, from the start of the stored run. */
		readonly offset: number,
		readonly shape: readonly number[],
		readonly strides: readonly number[],
	) {
		super();
		const known = storage.dtype ?? dtype;
		if (!known) throw new PickleError("it has a tensor that does not say what its elements are");
		this.dtype = known;
		this.count = shape.reduce((product, side) => product * side, 1);
		if (!Number.isSafeInteger(this.count)) throw new PickleError("it has a tensor larger than any file");
		const last = this.count === 0 ? 0 : shape.reduce((at, side, axis) => at + (side - 1) * strides[axis]!, offset) + 1;
		const held = storage.dtype ? storage.count : Math.floor(storage.count / bytesPerElement(known));
		if (last > storage.viewOffset + held)
			throw new PickleError(`it has a tensor [${shape.join(", ")}] that goes beyond its storage of ${held} elements`);
	}

	/** Whether its elements lie in row-major order without holes. */
	get isContiguous(): boolean {
		let expected = 1;
		for (let axis = this.shape.length - 1; axis >= 0; axis--) {
			if (this.shape[axis] === 1) continue;
			if (this.strides[axis] !== expected) return false;
			expected *= this.shape[axis]!;
		}
		return true;
	}

	/** Elements of the storage from its first to its last. */
	get span(): number {
		if (this.count === 0) return 0;
		return this.shape.reduce((at, side, axis) => at + (side - 1) * this.strides[axis]!, 0) + 1;
	}

	describe(): string {
		return "a tensor";
	}
}

/** Repeats elements of a strided view into row-major order. */
export function gatherStrided(source: Uint8Array, tensor: TorchTensor, out: Uint8Array): void {
	const width = bytesPerElement(tensor.dtype);
	const { shape, strides } = tensor;
	const rank = shape.length;
	const index = new Array<number>(rank).fill(0);
	let from = 0;
	for (let to = 0; to < out.length; to += width) {
		for (let byte = 0; byte < width; byte++) out[to + byte] = source[from * width + byte]!;
		for (let axis = rank - 1; axis >= 0; axis--) {
			from += strides[axis]!;
			if (++index[axis]! < shape[axis]!) break;
			from -= strides[axis]! * shape[axis]!;
			index[axis] = 0;
		}
	}
}
