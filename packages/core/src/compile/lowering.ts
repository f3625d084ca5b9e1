// What an op's `lower` sees of the compiler: operands for its inputs and outputs, and a way to call a kernel.
import type { Node, Value } from "../graph/graph.js";
import type { DType } from "../graph/types.js";
import type { StridedView } from "../ops/table.js";
import type { Storage } from "./storage.js";

/** A typed place a kernel reads or writes: contiguous, starting `offset` elements into its storage. */
export interface Operand {
	readonly storage: Storage;
	/** In elements. */
	readonly offset: number;
	readonly dtype: DType;
	/** Elements from the first to the last one touched, for the native bounds check. */
	readonly extent: number;
}

/** An operand with the strides of a view. */
export interface StridedOperand extends Operand, StridedView {}

export interface KernelCall {
	/** In docs/kernels.md's order; null: absent. */
	readonly operands: readonly (Operand | null)[];
	readonly ints: readonly number[];
	readonly floats?: readonly number[];
}

export interface Lowering {
	/** The value as it lies in memory: perhaps a view. Low precision is kept. */
	strided(value: Value): StridedOperand;
	/** The value contiguous in f32 (i32 stays i32): copied or cast first if it is not. */
	contiguous(value: Value): Operand;
	/** The value contiguous in its own dtype: for kernels that read f16 and bf16 themselves. */
	stored(value: Value): Operand;
	/** The same where the device's kernels do; in f32 where they don't. For operands that a kernel takes in any float type. */
	activation(value: Value): Operand;
	/** The 16-bit type that all given values have, if the device has kernels for operands of that type; else null. */
	halves(...values: readonly (Value | null)[]): DType | null;
	/** Whether products of f32 are computed in tf32: by the kernels whose names end in _tf32, which read all their operands in f32. */
	readonly tf32: boolean;
	/** The value in f32 (`half`: in its own type) with its last axis contiguous and every other axis at one pitch (rows of a matrix); copied if it is not. */
	rows(value: Value, options?: { batchAxes?: number; half?: boolean }): PitchedOperand;
	/** The same for a view that is known: null if its axes can't be read that way. */
	pitched(view: StridedOperand, batchAxes: number): PitchedOperand | null;
	/** Whether a geglu layer reads this frozen weight, so that its packed copy interleaves value and gate columns. */
	interleaved(value: Value): boolean;
	/** Fresh f32 storage for an output of the node (rounded to the value's dtype afterwards where that is f16 or bf16). */
	output(value: Value): Operand;
	/** The same, or null where nothing reads that output. */
	outputIfUsed(value: Value): Operand | null;
	/** Fresh storage in the value's own type where the device's kernels write that themselves; else as `output`. */
	result(value: Value): Operand;
	/** The same, or null where nothing reads that output. */
	resultIfUsed(value: Value): Operand | null;
	/** A frozen weight packed by one of the device's packers, in its own type or the given one; null if the value is not a frozen weight. */
	packed(value: Value, packer: string, ints: readonly number[], dtype?: DType): Operand | null;
	/** An operand that the call may update in place: the input's own memory where nothing else reads it later, else a copy. It becomes the output's storage. */
	inPlace(input: Value, output: Value): Operand;
	/** Appends a kernel call; its scratch is planned for. */
	call(kernel: string, node: Node, call: KernelCall): void;
	/** Leaves a concat to whoever reads it: as halves, or copied together on first demand. */
	concat(node: Node): void;
}

/** Rows at a pitch: element [b, r, c] lies at offset + b·batchStride + r·pitch + c. */
export interface PitchedOperand extends Operand {
	readonly pitch: number;
	readonly batchStride: number;
}
