// Ops that move or reinterpret data: most become strided views and cost nothing.
import { ShapeError } from "../graph/errors.js";
import type { Value } from "../graph/graph.js";
import {
	broadcastShapes,
	formatShape,
	normalizeAxis,
	type Shape,
	sameShape,
	sizeOf,
	stridesOf,
	type Type,
} from "../graph/types.js";
import { forEachBroadcast } from "./elementwise.js";
import { reduceTo } from "./reduce.js";
import { type Attributes, type Contents, defineOp, type Sample, type StridedView } from "./table.js";

const f32 = (...shape: number[]): Type => ({ shape, dtype: "f32" });

/** Strides of `to` over the same data, or null if a copy is needed. */
function reshapeStrides(view: StridedView, to: Shape): number[] | null {
	// Merge the input's dimensions into runs that are contiguous among themselves, then cut the runs into the new ones.
	const runs: { size: number; stride: number }[] = [];
	view.shape.forEach((size, axis) => {
		if (size === 1) return;
		const stride = view.strides[axis]!;
		const last = runs[runs.length - 1];
		if (last && last.stride === stride * size) {
			last.size *= size;
			last.stride = stride;
		} else runs.push({ size, stride });
	});
	const strides = new Array<number>(to.length).fill(0);
	let axis = to.length - 1;
	for (let r = runs.length - 1; r >= 0; r--) {
		let left = runs[r]!.size;
		let stride = runs[r]!.stride;
		while (left > 1) {
			while (axis >= 0 && to[axis] === 1) axis--;
			if (axis < 0 || left % to[axis]! !== 0) return null;
			strides[axis] = stride;
			stride *= to[axis]!;
			left /= to[axis]!;
			axis--;
		}
	}
	return strides;
}

const reshapeOp = defineOp({
	name: "reshape",
	infer: (inputs, attributes) => [{ shape: attributes.shape as Shape, dtype: inputs[0]!.dtype }],
	evaluate: (inputs) => [inputs[0]!.slice()],
	differentiate: (c) => {
		const g = c.grad(0);
		return [g && reshape(g, c.inputType(0).shape)];
	},
	view: (input, _attributes, output) => {
		if (sizeOf(output.shape) === 0) return { offset: 0, shape: output.shape, strides: stridesOf(output.shape) };
		const strides = reshapeStrides(input, output.shape);
		return strides && { offset: input.offset, shape: output.shape, strides };
	},
	samples: () => [
		{ inputs: [f32(6, 5)], attributes: { shape: [3, 10] } },
		{ inputs: [f32(7)], attributes: { shape: [1, 7, 1] } },
		{ inputs: [f32(1)], attributes: { shape: [] } },
	],
});

/** The same elements in row-major order under another shape; one dimension may be −1. */
export function reshape(x: Value, shape: Shape): Value {
	const unknown = shape.indexOf(-1);
	let to = [...shape];
	if (unknown >= 0) {
		const rest = shape.reduce((size, n, i) => (i === unknown ? size : size * n), 1);
		if (shape.indexOf(-1, unknown + 1) >= 0 || rest === 0 || x.size % rest !== 0)
			throw new ShapeError(`reshape: ${formatShape(x.shape)} can't become ${formatShape(shape)}`);
		to = shape.map((n, i) => (i === unknown ? x.size / rest : n));
	}
	if (sizeOf(to) !== x.size || to.some((n) => n < 0 || !Number.isInteger(n)))
		throw new ShapeError(
			`reshape: ${formatShape(x.shape)} has ${x.size} elements and can't become ${formatShape(shape)}`,
		);
	return sameShape(to, x.shape) ? x : x.graph.apply(reshapeOp, [x], { shape: to })[0]!;
}

const transposeOp = defineOp({
	name: "transpose",
	infer: (inputs, attributes) => {
		const order = attributes.order as number[];
		return [{ shape: order.map((axis) => inputs[0]!.shape[axis]!), dtype: inputs[0]!.dtype }];
	},
	evaluate: (inputs, attributes, types) => {
		const order = attributes.order as number[];
		const from = stridesOf(types.inputs[0]!.shape);
		return [
			gatherStrided(inputs[0]!, {
				offset: 0,
				shape: types.outputs[0]!.shape,
				strides: order.map((axis) => from[axis]!),
			}),
		];
	},
	differentiate: (c) => {
		const g = c.grad(0);
		const order = c.attributes.order as number[];
		return [
			g &&
				transpose(
					g,
					order.map((_, i) => order.indexOf(i)),
				),
		];
	},
	view: (input, attributes, output) => {
		const order = attributes.order as number[];
		return { offset: input.offset, shape: output.shape, strides: order.map((axis) => input.strides[axis]!) };
	},
	samples: () => [
		{ inputs: [f32(3, 5)], attributes: { order: [1, 0] } },
		{ inputs: [f32(2, 3, 4, 5)], attributes: { order: [0, 2, 1, 3] } },
		{ inputs: [f32(67, 35)], attributes: { order: [1, 0] } },
		{ inputs: [f32(2, 3, 5)], attributes: { order: [2, 0, 1] } },
	],
});

/** Permutes the axes: axis i of the result is axis order[i] of x. Without an order the last two axes are swapped. */
export function transpose(x: Value, order?: readonly number[]): Value {
	const rank = x.rank;
	const full = order?.map((axis) => normalizeAxis("transpose", axis, rank)) ?? [
		...Array.from({ length: Math.max(0, rank - 2) }, (_, i) => i),
		...(rank >= 2 ? [rank - 1, rank - 2] : [0].slice(0, rank)),
	];
	if (full.length !== rank || new Set(full).size !== rank)
		throw new ShapeError(
			`transpose: ${formatShape(order ?? [])} does not name each axis of ${formatShape(x.shape)} once`,
		);
	return full.every((axis, i) => axis === i) ? x : x.graph.apply(transposeOp, [x], { order: full })[0]!;
}

/** Contiguous copy of a strided view. */
export function gatherStrided(data: Contents, view: StridedView): Contents {
	const out = new Float64Array(sizeOf(view.shape));
	const index = new Array<number>(view.shape.length).fill(0);
	let at = view.offset;
	for (let i = 0; i < out.length; i++) {
		out[i] = data[at]!;
		for (let axis = view.shape.length - 1; axis >= 0; axis--) {
			at += view.strides[axis]!;
			if (++index[axis]! < view.shape[axis]!) break;
			at -= view.strides[axis]! * view.shape[axis]!;
			index[axis] = 0;
		}
	}
	return out;
}

/** Gradients of several slices of one value are put side by side by `gradients` itself. */
export const sliceOp = defineOp({
	name: "slice",
	infer: (inputs, attributes) => {
		const { axis, start, length } = attributes as { axis: number; start: number; length: number };
		const shape = [...inputs[0]!.shape];
		if (start < 0 || length < 0 || start + length > shape[axis]!)
			throw new ShapeError(
				`slice: [${start}, ${start + length}) reaches outside axis ${axis} of ${formatShape(shape)}`,
			);
		shape[axis] = length;
		return [{ shape, dtype: inputs[0]!.dtype }];
	},
	evaluate: (inputs, attributes, types) => {
		const { axis, start } = attributes as { axis: number; start: number };
		const strides = stridesOf(types.inputs[0]!.shape);
		return [gatherStrided(inputs[0]!, { offset: start * strides[axis]!, shape: types.outputs[0]!.shape, strides })];
	},
	differentiate: (c) => {
		const g = c.grad(0);
		if (!g) return [];
		const { axis, start, length } = c.attributes as { axis: number; start: number; length: number };
		return [pad(g, axis, start, c.inputType(0).shape[axis]! - start - length)];
	},
	view: (input, attributes, output) => {
		const { axis, start } = attributes as { axis: number; start: number };
		return { offset: input.offset + start * input.strides[axis]!, shape: output.shape, strides: input.strides };
	},
	samples: () => [
		{ inputs: [f32(5, 7)], attributes: { axis: 0, start: 1, length: 3 } },
		{ inputs: [f32(5, 7)], attributes: { axis: 1, start: 6, length: 1 } },
		{ inputs: [f32(3, 4, 5)], attributes: { axis: 1, start: 0, length: 4 } },
	],
});

/** Elements [start, start + length) of one axis. */
export function slice(x: Value, axis: number, start: number, length: number): Value {
	const at = normalizeAxis("slice", axis, x.rank);
	return start === 0 && length === x.shape[at] ? x : x.graph.apply(sliceOp, [x], { axis: at, start, length })[0]!;
}

/** Cuts one axis into pieces of the given lengths. */
export function split(x: Value, axis: number, lengths: readonly number[]): Value[] {
	const at = normalizeAxis("split", axis, x.rank);
	const total = lengths.reduce((sum, n) => sum + n, 0);
	if (total !== x.shape[at])
		throw new ShapeError(
			`split: lengths ${formatShape(lengths)} do not add up to axis ${at} of ${formatShape(x.shape)}`,
		);
	let start = 0;
	return lengths.map((length) => {
		const piece = slice(x, at, start, length);
		start += length;
		return piece;
	});
}

function inferConcat(inputs: readonly (Type | null)[], attributes: Attributes): Type[] {
	const types = inputs as readonly Type[];
	const axis = attributes.axis as number;
	const shape = [...types[0]!.shape];
	shape[axis] = 0;
	for (const type of types) {
		if (
			type.dtype !== types[0]!.dtype ||
			type.shape.length !== shape.length ||
			type.shape.some((n, i) => i !== axis && n !== types[0]!.shape[i])
		)
			throw new ShapeError(
				`concat: ${types.map((t) => formatShape(t.shape)).join(" and ")} can't be joined along axis ${axis}`,
			);
		shape[axis]! += type.shape[axis]!;
	}
	return [{ shape, dtype: types[0]!.dtype }];
}

export const concatOp = defineOp({
	name: "concat",
	infer: inferConcat,
	evaluate: (inputs, attributes, types) => {
		const axis = attributes.axis as number;
		const shape = types.outputs[0]!.shape;
		const out = new Float64Array(sizeOf(shape));
		const inner = sizeOf(shape.slice(axis + 1));
		const row = shape[axis]! * inner;
		let column = 0;
		inputs.forEach((data, k) => {
			const width = types.inputs[k]!.shape[axis]! * inner;
			for (let r = 0; width > 0 && r * width < data!.length; r++)
				out.set(data!.subarray(r * width, (r + 1) * width), r * row + column);
			column += width;
		});
		return [out];
	},
	differentiate: (c) => {
		const g = c.grad(0);
		const axis = c.attributes.axis as number;
		let start = 0;
		const grads: (Value | null)[] = [];
		for (let i = 0; c.hasInput(i); i++) {
			const length = c.inputType(i).shape[axis]!;
			grads.push(g && c.needs(i) ? slice(g, axis, start, length) : null);
			start += length;
		}
		return grads;
	},
	lower: (lowering, node) => lowering.concat(node),
	samples: (): Sample[] => [
		{ inputs: [f32(3, 5), f32(3, 2)], attributes: { axis: 1 } },
		{ inputs: [f32(1, 5), f32(4, 5), f32(2, 5)], attributes: { axis: 0 } },
		{ inputs: [f32(2, 3, 7), f32(2, 1, 7)], attributes: { axis: 1 } },
	],
});

/** Values side by side along one axis. Convolutions and group norms that read it take the two halves as they are. */
export function concat(values: readonly Value[], axis: number): Value {
	if (values.length === 0) throw new ShapeError("concat: at least one value is needed");
	const at = normalizeAxis("concat", axis, values[0]!.rank);
	return values.length === 1 ? values[0]! : values[0]!.graph.apply(concatOp, values, { axis: at })[0]!;
}

/** Zeros around one axis. */
export function pad(x: Value, axis: number, before: number, after: number): Value {
	const at = normalizeAxis("pad", axis, x.rank);
	const zeros = (n: number) =>
		broadcastTo(
			x.graph.constant(0, [], x.dtype),
			x.shape.map((size, i) => (i === at ? n : size)),
		);
	return concat([...(before ? [zeros(before)] : []), x, ...(after ? [zeros(after)] : [])], at);
}

const broadcastOp = defineOp({
	name: "broadcast",
	infer: (inputs, attributes) => [{ shape: attributes.shape as Shape, dtype: inputs[0]!.dtype }],
	evaluate: (inputs, _attributes, types) => {
		const out = new Float64Array(sizeOf(types.outputs[0]!.shape));
		forEachBroadcast(types.outputs[0]!.shape, [types.inputs[0]!.shape], (i, [at]) => {
			out[i] = inputs[0]![at!]!;
		});
		return [out];
	},
	differentiate: (c) => {
		const g = c.grad(0);
		return [g && reduceTo(g, c.inputType(0).shape)];
	},
	view: (input, _attributes, output) => {
		const lead = output.shape.length - input.shape.length;
		const strides = output.shape.map((_, i) =>
			i < lead || input.shape[i - lead] === 1 ? 0 : input.strides[i - lead]!,
		);
		return { offset: input.offset, shape: output.shape, strides };
	},
	samples: () => [
		{ inputs: [f32(3, 1)], attributes: { shape: [2, 3, 4] } },
		{ inputs: [f32()], attributes: { shape: [5] } },
	],
});

/** Repeats x along dimensions of 1 and new leading ones. */
export function broadcastTo(x: Value, shape: Shape): Value {
	if (!sameShape(broadcastShapes("broadcastTo", [x.shape, shape]), shape))
		throw new ShapeError(`broadcastTo: ${formatShape(x.shape)} can't be stretched to ${formatShape(shape)}`);
	return sameShape(x.shape, shape) ? x : x.graph.apply(broadcastOp, [x], { shape: [...shape] })[0]!;
}

/** Enlarges the picture [N, H, W, C] twice by repeating each pixel. */
export function upsampleNearest2x(x: Value): Value {
	if (x.rank !== 4)
		throw new ShapeError(`upsampleNearest2x: expected a picture [N, H, W, C], got ${formatShape(x.shape)}`);
	const [n, h, w, c] = x.shape as [number, number, number, number];
	return reshape(broadcastTo(reshape(x, [n, h, 1, w, 1, c]), [n, h, 2, w, 2, c]), [n, 2 * h, 2 * w, c]);
}
