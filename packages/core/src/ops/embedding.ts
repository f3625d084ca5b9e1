// Tables read by index, and embeddings of numbers.
import { GraphError, ShapeError } from "../graph/errors.js";
import type { Value } from "../graph/graph.js";
import { type DType, formatType, sizeOf, type Type } from "../graph/types.js";
import { cast, cos, equal, mul, sin } from "./elementwise.js";
import { concat, pad, reshape } from "./shape.js";
import { type Contents, defineOp, type Sample } from "./table.js";

function checkIndex(op: string, index: Type): void {
	if (index.dtype !== "i32") throw new ShapeError(`${op}: the index must be i32, not ${formatType(index)}`);
}

/** Calls back with the table row of each element of the index. */
function forEachRow(op: string, index: Contents, rows: number, visit: (row: number, position: number) => void): void {
	index.forEach((row, position) => {
		if (!(row >= 0 && row < rows))
			throw new GraphError(`${op}: index ${row} at position ${position} is outside [0, ${rows})`);
		visit(row, position);
	});
}

const gatherOp = defineOp({
	name: "gather",
	infer: (inputs, attributes) => {
		const [table, index] = inputs as readonly [Type, Type];
		checkIndex("gather", index);
		if (table.shape.length !== 2 || table.dtype === "i32")
			throw new ShapeError(`gather: expected a table of floats [rows, C], got ${formatType(table)}`);
		return [{ shape: [...index.shape, table.shape[1]!], dtype: attributes.dtype as DType }];
	},
	evaluate: (inputs, _attributes, types) => {
		const [table, index] = inputs as readonly [Contents, Contents];
		const [rows, channels] = types.inputs[0]!.shape as [number, number];
		const y = new Float64Array(index.length * channels);
		forEachRow("gather", index, rows, (row, position) => {
			y.set(table.subarray(row * channels, (row + 1) * channels), position * channels);
		});
		return [y];
	},
	differentiate: (c) => {
		const g = c.grad(0);
		if (!g || !c.needs(0)) return [];
		const { shape, dtype } = c.inputType(0);
		return [scatterAdd(c.input(1), cast(g, dtype), shape[0]!), null];
	},
	lower: (lowering, node) => {
		const [table, index] = node.inputs as readonly [Value, Value];
		lowering.call("gather", node, {
			operands: [lowering.stored(table), lowering.contiguous(index), lowering.result(node.outputs[0]!)],
			ints: [index.size, table.shape[0]!, table.shape[1]!],
		});
	},
	samples: (random): Sample[] =>
		[
			{ table: [random.integer(1, 30), random.integer(1, 70)], index: [random.integer(1, 40)] },
			{ table: [7, random.integer(1, 20)], index: [2, 5] },
			{ table: [1, 1], index: [] },
		].map(({ table, index }) => ({
			inputs: [
				{ shape: table, dtype: "f32" },
				{ shape: index, dtype: "i32" },
			],
			attributes: { dtype: "f32" },
			draw: (input, normal) => (input === 1 ? Math.floor(Math.abs(normal()) * 1e4) % table[0]! : normal()),
		})),
});

const scatterAddOp = defineOp({
	name: "scatterAdd",
	infer: (inputs, attributes) => {
		const [index, source] = inputs as readonly [Type, Type];
		checkIndex("scatterAdd", index);
		const channels = source.shape.at(-1);
		if (source.dtype === "i32" || channels === undefined || sizeOf(source.shape.slice(0, -1)) !== sizeOf(index.shape))
			throw new ShapeError(
				`scatterAdd: expected floats with one row per index, got ${formatType(source)} for the index ${formatType(index)}`,
			);
		return [{ shape: [attributes.rows as number, channels], dtype: source.dtype }];
	},
	evaluate: (inputs, _attributes, types) => {
		const [index, source] = inputs as readonly [Contents, Contents];
		const [rows, channels] = types.outputs[0]!.shape as [number, number];
		const y = new Float64Array(rows * channels);
		forEachRow("scatterAdd", index, rows, (row, position) => {
			for (let c = 0; c < channels; c++) y[row * channels + c]! += source[position * channels + c]!;
		});
		return [y];
	},
	differentiate: (c) => {
		const g = c.grad(0);
		if (!g || !c.needs(1)) return [];
		return [null, reshape(gather(g, c.input(0)), c.inputType(1).shape)];
	},
	lower: (lowering, node) => {
		const [index, source] = node.inputs as readonly [Value, Value];
		const y = node.outputs[0]!;
		lowering.call("scatter_add", node, {
			operands: [lowering.contiguous(index), lowering.activation(source), lowering.result(y)],
			ints: [index.size, y.shape[0]!, y.shape[1]!],
		});
	},
	samples: (random): Sample[] =>
		[
			{ index: [random.integer(1, 60)], channels: random.integer(1, 50), rows: random.integer(1, 9) },
			{ index: [3, 4], channels: 2, rows: 40 },
		].map(({ index, channels, rows }) => ({
			inputs: [
				{ shape: index, dtype: "i32" },
				{ shape: [...index, channels], dtype: "f32" },
			],
			attributes: { rows },
			draw: (input, normal) => (input === 0 ? Math.floor(Math.abs(normal()) * 1e4) % rows : normal()),
		})),
});

/**
 * Rows of a table by index, as an embedding layer reads them.
 *
 * @param table [rows, ...]; may be stored in f16 or bf16
 * @param index i32 of any shape, each in [0, rows)
 * @param options dtype: of the result; default the table's
 * @returns [...index, ...], the rows
 * @throws ShapeError where the types do not fit; when it runs, an error that names an index outside the table
 */
export function gather(table: Value, index: Value, options: { dtype?: DType } = {}): Value {
	if (table.rank < 1) throw new ShapeError(`gather: expected a table [rows, ...], got ${formatType(table)}`);
	const row = table.shape.slice(1);
	const flat = reshape(table, [table.shape[0]!, sizeOf(row)]);
	const y = table.graph.apply(gatherOp, [flat, index], { dtype: options.dtype ?? table.dtype })[0]!;
	return reshape(y, [...index.shape, ...row]);
}

/** An embedding layer: `gather` from a weight [rows, C] by token index, [..., C]. */
export const embedding = gather;

/**
 * Sums rows into a table of zeros: y[index[i]] += source[i], in the order of i. The gradient of `gather`.
 *
 * @param index i32 [...], each in [0, rows)
 * @param source [..., C], one row per index
 * @returns [rows, C]
 */
export function scatterAdd(index: Value, source: Value, rows: number): Value {
	if (!Number.isInteger(rows) || rows < 0)
		throw new ShapeError(`scatterAdd: rows must be a whole number ≥ 0, not ${rows}`);
	return index.graph.apply(scatterAddOp, [index, source], { rows })[0]!;
}

/**
 * 1 at the class, 0 elsewhere. No gradient.
 *
 * @param index i32 [...]; one outside [0, classes) gives a row of zeros
 * @returns f32 [..., classes]
 */
export function oneHot(index: Value, classes: number): Value {
	checkIndex("oneHot", index);
	if (!Number.isInteger(classes) || classes < 1)
		throw new ShapeError(`oneHot: classes must be a whole number ≥ 1, not ${classes}`);
	const labels = index.graph.constant(
		Array.from({ length: classes }, (_, k) => k),
		[classes],
	);
	return equal(reshape(cast(index, "f32"), [...index.shape, 1]), labels);
}

export interface TimestepEmbeddingOptions {
	/** Cosines first, as Stable Diffusion wants. Default false: sines first. */
	flipSinToCos?: boolean;
	/** Subtracted from the number of frequencies in the exponent's divisor. Default 1, as in diffusers; Stable Diffusion uses 0. */
	downscaleFreqShift?: number;
	/** Default 10000. */
	maxPeriod?: number;
	/** Factor of the angle. Default 1. */
	scale?: number;
}

/**
 * Sinusoidal embedding of timesteps (Ho et al. 2020; the options are those of diffusers): sines and cosines of
 * t · maxPeriod^(−i / (dim/2 − shift)) for i < ⌊dim/2⌋; an odd dim ends with a 0.
 *
 * @param t [N], f32 or i32
 * @returns f32 [N, dim]
 */
export function timestepEmbedding(t: Value, dim: number, options: TimestepEmbeddingOptions = {}): Value {
	const { flipSinToCos = false, downscaleFreqShift = 1, maxPeriod = 10000, scale = 1 } = options;
	const half = Math.floor(dim / 2);
	if (t.rank !== 1) throw new ShapeError(`timestepEmbedding: expected timesteps [N], got ${formatType(t)}`);
	if (!Number.isInteger(dim) || half < 1 || half === downscaleFreqShift)
		throw new ShapeError(
			`timestepEmbedding: ${dim} is too small a dimension for a frequency shift of ${downscaleFreqShift}`,
		);
	const frequencies = Array.from({ length: half }, (_, i) => scale * maxPeriod ** (-i / (half - downscaleFreqShift)));
	const angle = mul(reshape(cast(t, "f32"), [t.shape[0]!, 1]), t.graph.constant(frequencies, [half]));
	const both = concat(flipSinToCos ? [cos(angle), sin(angle)] : [sin(angle), cos(angle)], -1);
	return dim % 2 === 1 ? pad(both, -1, 0, 1) : both;
}
