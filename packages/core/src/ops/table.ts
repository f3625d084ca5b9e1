// The op table. One row gives an op its types, its reference, its gradient, its kernels and its tests.

import type { Lowering } from "../compile/lowering.js";
import type { Node, Value } from "../graph/graph.js";
import type { Type } from "../graph/types.js";

export type Attributes = Readonly<Record<string, unknown>>;

/** Contents of a value in the interpreter: float64, whatever the dtype. */
export type Contents = Float64Array;

/** What an op's gradient rule sees. Values it asks for may be recomputed copies, so it must take them from here. */
export interface GradientContext {
	readonly attributes: Attributes;
	/** Input i; a rule that does not call this for an input does not keep it alive. */
	input(index: number): Value;
	hasInput(index: number): boolean;
	inputType(index: number): Type;
	output(index: number): Value;
	outputType(index: number): Type;
	/** Gradient of the loss with respect to output i; null: nothing flows there. */
	grad(index: number): Value | null;
	/** Whether the gradient of input i is wanted. */
	needs(index: number): boolean;
}

/** A case for the op's tests: input types (null: absent), attributes, and how to draw the inputs. */
export interface Sample {
	readonly inputs: readonly (Type | null)[];
	readonly attributes?: Attributes;
	/** Draws element values of input i; default: standard normal. */
	readonly draw?: (input: number, normal: () => number, index: number) => number;
}

/** Draws whole numbers and choices for samples; seeded. */
export interface SampleRandom {
	integer(low: number, high: number): number;
	choose<T>(items: readonly T[]): T;
	boolean(): boolean;
}

export interface Op {
	readonly name: string;
	readonly leaf?: boolean;
	/** Output types; throws ShapeError naming the op and the shapes. */
	infer(inputs: readonly (Type | null)[], attributes: Attributes): readonly Type[];
	/** The float64 reference, plain and slow. */
	evaluate(
		inputs: readonly (Contents | null)[],
		attributes: Attributes,
		types: { readonly inputs: readonly (Type | null)[]; readonly outputs: readonly Type[] },
	): readonly Contents[];
	/** Gradients of the inputs, in their order; null where not wanted or zero. Absent: the op has no gradient. */
	differentiate?(context: GradientContext): readonly (Value | null)[];
	/** Emits kernel calls. Absent for leaves, views and elementwise ops, which the compiler handles. */
	lower?(lowering: Lowering, node: Node): void;
	/** The optional input that is added to output 0 after everything else: a following sum is folded into it. */
	readonly residualInput?: number;
	/** Outputs that only the gradient rule reads (statistics): nothing flows back through them. */
	readonly auxiliaryOutputs?: readonly number[];
	/** Elementwise ops: how they run inside the `pointwise` kernel. */
	readonly pointwise?: PointwiseRule;
	/** Views: how they reinterpret the strides of their input instead of moving data. Null: this input's strides can't express it. */
	readonly view?: (input: StridedView, attributes: Attributes, output: Type) => StridedView | null;
	/** Cases for the op's tests; at least one with odd sizes. */
	samples?(random: SampleRandom): readonly Sample[];
	/** Bound of the f32 test relative to the op on absolute values; default DESIGN's 1e-5. */
	readonly bound?: number;
	/**
	 * How large the terms are that each output is summed from, for the bound of the tests. Absent: the op on absolute values; a function
	 * of its own where the op subtracts what nearly cancels (gradients of norms). The inputs it is given are not negative.
	 */
	readonly magnitude?: Op["evaluate"];
}

/** A strided window on contiguous storage; offset and strides in elements. */
export interface StridedView {
	readonly offset: number;
	readonly shape: readonly number[];
	readonly strides: readonly number[];
}

/** An elementwise op: opcode of docs/kernels.md; operands of the instruction are the op's inputs in order. */
export interface PointwiseRule {
	readonly opcode: number;
	/** Float attributes that become immediates after the inputs. */
	readonly immediates?: readonly string[];
}

const table = new Map<string, Op>();

/** Adds a row to the op table. */
export function defineOp<T extends Op>(op: T): T {
	if (table.has(op.name)) throw new Error(`op ${op.name} is defined twice`);
	table.set(op.name, op);
	return op;
}

/** Every op by name. */
export function opTable(): ReadonlyMap<string, Op> {
	return table;
}
