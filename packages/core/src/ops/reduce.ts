// Reductions.
import { ShapeError } from "../graph/errors.js";
import type { Value } from "../graph/graph.js";
import { formatType, normalizeAxes, type Shape, sameShape, sizeOf } from "../graph/types.js";
import { add, div, equal, greater, mul, sign, sub } from "./elementwise.js";
import { broadcastTo, reshape } from "./shape.js";
import { type Contents, defineOp, type GradientContext, type Sample } from "./table.js";

/** Codes of docs/kernels.md. */
const REDUCTIONS = { sum: 0, max: 1, sumSquares: 2, min: 3, sumAbs: 4 } as const;
type Reduction = keyof typeof REDUCTIONS;

const STEP: Record<Reduction, (a: number, x: number) => number> = {
	sum: (a, x) => a + x,
	max: (a, x) => (Number.isNaN(a) || Number.isNaN(x) ? Number.NaN : Math.max(a, x)),
	min: (a, x) => (Number.isNaN(a) || Number.isNaN(x) ? Number.NaN : Math.min(a, x)),
	sumSquares: (a, x) => a + x * x,
	sumAbs: (a, x) => a + Math.abs(x),
};

function keptShape(shape: Shape, axes: readonly number[]): number[] {
	return shape.map((n, i) => (axes.includes(i) ? 1 : n));
}

function evaluateReduction(
	data: Contents,
	shape: Shape,
	axes: readonly number[],
	kind: Reduction,
	scale: number,
): Contents {
	const kept = keptShape(shape, axes);
	const out = new Float64Array(sizeOf(kept)).fill(
		kind === "max" ? Number.NEGATIVE_INFINITY : kind === "min" ? Number.POSITIVE_INFINITY : 0,
	);
	const strides = new Array<number>(shape.length).fill(0);
	let step = 1;
	for (let i = shape.length - 1; i >= 0; i--) {
		strides[i] = kept[i] === 1 ? 0 : step;
		step *= kept[i]!;
	}
	const index = new Array<number>(shape.length).fill(0);
	let at = 0;
	for (let i = 0; i < data.length; i++) {
		out[at] = STEP[kind](out[at]!, data[i]!);
		for (let axis = shape.length - 1; axis >= 0; axis--) {
			at += strides[axis]!;
			if (++index[axis]! < shape[axis]!) break;
			at -= strides[axis]! * shape[axis]!;
			index[axis] = 0;
		}
	}
	return scale === 1 ? out : out.map((x) => x * scale);
}

const gradients: Record<Reduction, (g: Value, c: GradientContext) => Value> = {
	sum: (g) => g,
	sumSquares: (g, c) => mul(mul(g, 2), c.input(0)),
	sumAbs: (g, c) => mul(g, sign(c.input(0))),
	max: (g, c) => mul(g, equal(c.input(0), c.output(0))),
	min: (g, c) => mul(g, equal(c.input(0), c.output(0))),
};

const reduceOp = defineOp({
	name: "reduce",
	infer: (inputs, attributes) => {
		const x = inputs[0]!;
		if (x.dtype === "i32")
			throw new ShapeError(`reduce: i32 has no arithmetic (${formatType(x)}); cast it to f32 first`);
		return [{ shape: keptShape(x.shape, attributes.axes as number[]), dtype: x.dtype }];
	},
	evaluate: (inputs, attributes, types) => {
		const { axes, kind, scale } = attributes as { axes: number[]; kind: Reduction; scale: number };
		return [evaluateReduction(inputs[0]!, types.inputs[0]!.shape, axes, kind, scale)];
	},
	differentiate: (c) => {
		const g = c.grad(0);
		if (!g) return [];
		const { kind, scale } = c.attributes as { kind: Reduction; scale: number };
		return [broadcastTo(gradients[kind](scale === 1 ? g : mul(g, scale), c), c.inputType(0).shape)];
	},
	lower: (lowering, node) => {
		const { axes, kind, scale } = node.attributes as { axes: number[]; kind: Reduction; scale: number };
		const x = lowering.strided(node.inputs[0]!);
		const kept = x.shape.map((_, i) => i).filter((i) => !axes.includes(i));
		const pick = (list: readonly number[], from: readonly number[]) => from.map((i) => list[i]!);
		lowering.call("reduce", node, {
			operands: [x, lowering.output(node.outputs[0]!)],
			ints: [
				REDUCTIONS[kind],
				kept.length,
				axes.length,
				...pick(x.shape, kept),
				...pick(x.strides, kept),
				...pick(x.shape, axes),
				...pick(x.strides, axes),
			],
			floats: [scale],
		});
	},
	samples: (random): Sample[] => {
		const shape = [random.integer(1, 4), random.integer(1, 33), random.integer(1, 70)];
		const axes = random.choose([[0], [1], [2], [0, 1], [1, 2], [0, 2], [0, 1, 2]]);
		return (["sum", "sumSquares", "sumAbs", "max", "min"] as const).map((kind) => ({
			inputs: [{ shape, dtype: "f32" as const }],
			attributes: { axes, kind, scale: kind === "max" || kind === "min" ? 1 : 0.5 },
		}));
	},
});

export interface ReduceOptions {
	/** Keep reduced axes as dimensions of 1. Default false. */
	keepDims?: boolean;
}

function reduce(
	name: string,
	x: Value,
	axes: readonly number[] | number | undefined,
	kind: Reduction,
	scale: number,
	options?: ReduceOptions,
): Value {
	const list = normalizeAxes(name, axes, x.rank);
	if ((kind === "max" || kind === "min") && list.some((axis) => x.shape[axis] === 0))
		throw new ShapeError(`${name}: an empty axis of ${formatType(x)} has no ${kind}`);
	const out =
		list.length === 0 && scale === 1 && kind !== "sumSquares" && kind !== "sumAbs"
			? x
			: x.graph.apply(reduceOp, [x], { axes: list, kind, scale })[0]!;
	return options?.keepDims
		? out
		: reshape(
				out,
				x.shape.filter((_, i) => !list.includes(i)),
			);
}

/** Sum over axes (default: all). */
export const sum = (x: Value, axes?: readonly number[] | number, options?: ReduceOptions): Value =>
	reduce("sum", x, axes, "sum", 1, options);
/** Largest element over axes. Ties share the gradient fully. */
export const max = (x: Value, axes?: readonly number[] | number, options?: ReduceOptions): Value =>
	reduce("max", x, axes, "max", 1, options);
/** Smallest element over axes. */
export const min = (x: Value, axes?: readonly number[] | number, options?: ReduceOptions): Value =>
	reduce("min", x, axes, "min", 1, options);
/** Sum of squares over axes. */
export const sumSquares = (x: Value, axes?: readonly number[] | number, options?: ReduceOptions): Value =>
	reduce("sumSquares", x, axes, "sumSquares", 1, options);

/** Mean over axes (default: all). */
export function mean(x: Value, axes?: readonly number[] | number, options?: ReduceOptions): Value {
	const n = normalizeAxes("mean", axes, x.rank).reduce((size, axis) => size * x.shape[axis]!, 1);
	return reduce("mean", x, axes, "sum", 1 / Math.max(1, n), options);
}

/** Mean of |x| over axes. */
export function meanAbs(x: Value, axes?: readonly number[] | number, options?: ReduceOptions): Value {
	const n = normalizeAxes("meanAbs", axes, x.rank).reduce((size, axis) => size * x.shape[axis]!, 1);
	return reduce("meanAbs", x, axes, "sumAbs", 1 / Math.max(1, n), options);
}

/**
 * Variance over axes, two passes. `correction` 1 divides by n − 1 (unbiased, as torch.std does), 0 by n.
 * With a single element and correction 1 the variance is 0, not NaN.
 */
export function variance(
	x: Value,
	axes?: readonly number[] | number,
	options: ReduceOptions & { correction?: 0 | 1 } = {},
): Value {
	const n = normalizeAxes("variance", axes, x.rank).reduce((size, axis) => size * x.shape[axis]!, 1);
	const centered = sub(x, mean(x, axes, { keepDims: true }));
	return reduce("variance", centered, axes, "sumSquares", 1 / Math.max(1, n - (options.correction ?? 1)), options);
}

/** Standard deviation; where it is 0 its gradient is 0, not NaN. */
export function std(
	x: Value,
	axes?: readonly number[] | number,
	options: ReduceOptions & { correction?: 0 | 1 } = {},
): Value {
	return x.graph.apply(safeSqrtOp, [variance(x, axes, options)])[0]!;
}

const safeSqrtOp = defineOp({
	name: "safeSqrt",
	infer: (inputs) => [{ shape: inputs[0]!.shape, dtype: inputs[0]!.dtype }],
	evaluate: (inputs) => [inputs[0]!.map(Math.sqrt)],
	differentiate: (c) => {
		const g = c.grad(0);
		if (!g) return [];
		const y = c.output(0);
		// 1/y where y > 0; the denominator is lifted to 1 where y is 0, so that nothing infinite is multiplied by 0.
		const positive = greater(y, 0);
		return [mul(mul(g, 0.5), div(positive, add(y, sub(1, positive))))];
	},
	pointwise: { opcode: 12 },
	samples: () => [{ inputs: [{ shape: [37], dtype: "f32" as const }], draw: (_, normal) => Math.abs(normal()) + 0.1 }],
});

/** Sums a gradient down to a shape it was broadcast from. */
export function reduceTo(g: Value, shape: Shape): Value {
	if (sameShape(g.shape, shape)) return g;
	const lead = g.rank - shape.length;
	const axes = g.shape.flatMap((n, i) => (i < lead || (shape[i - lead] === 1 && n !== 1) ? [i] : []));
	// The rule's result may itself still be smaller than the output it belongs to (a broadcast gradient of a scalar).
	return lead < 0
		? broadcastTo(g, shape)
		: reshape(broadcastToKept(sum(g, axes, { keepDims: true }), shape, lead), shape);
}

function broadcastToKept(g: Value, shape: Shape, lead: number): Value {
	const want = g.shape.map((_, i) => (i < lead ? 1 : shape[i - lead]!));
	return sameShape(g.shape, want) ? g : broadcastTo(g, want);
}
