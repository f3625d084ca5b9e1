// Pooling over pictures [N, H, W, C].
import { ShapeError } from "../graph/errors.js";
import type { Value } from "../graph/graph.js";
import type { Type } from "../graph/types.js";
import { type Attributes, type Contents, defineOp, type Sample } from "./table.js";
import {
	forEachTap,
	type Padding,
	type Pair,
	toPadding,
	toPair,
	type WindowAttributes,
	type WindowGeometry,
	windowOver,
} from "./window.js";

/** Codes of docs/kernels.md. */
const MODES = { max: 0, average: 1, averageValid: 2 } as const;

interface PoolAttributes extends WindowAttributes {
	/** averageValid: padding is not counted. */
	readonly mode: keyof typeof MODES;
	readonly kernel: readonly [number, number];
}

interface PoolGradAttributes extends PoolAttributes {
	readonly height: number;
	readonly width: number;
}

function poolInts(g: WindowGeometry, channels: number, mode: keyof typeof MODES): number[] {
	return [g.n, g.h, g.w, channels, g.kh, g.kw, ...g.stride, g.padding[0], g.padding[1], g.oh, g.ow, MODES[mode]];
}

/** What each output pixel's sum is divided by. */
function divisors(g: WindowGeometry, mode: keyof typeof MODES): Float64Array {
	const counts = new Float64Array(g.n * g.oh * g.ow);
	if (mode === "average") return counts.fill(g.kh * g.kw);
	forEachTap(g, (output) => {
		counts[output]!++;
	});
	return counts;
}

/** Per output element the flat index of its first maximum in row-major window order. NaN counts as the largest. */
function argmax(g: WindowGeometry, x: Contents, channels: number): Int32Array {
	const best = new Int32Array(g.n * g.oh * g.ow * channels).fill(-1);
	forEachTap(g, (output, input) => {
		for (let c = 0; c < channels; c++) {
			const at = output * channels + c;
			const value = x[input * channels + c]!;
			const sofar = best[at]! < 0 ? Number.NEGATIVE_INFINITY : x[best[at]!]!;
			if (best[at]! < 0 || value > sofar || (Number.isNaN(value) && !Number.isNaN(sofar)))
				best[at] = input * channels + c;
		}
	});
	return best;
}

function gradGeometry(dy: Type, a: PoolGradAttributes): WindowGeometry {
	return windowOver(
		"pool2dGrad",
		{ shape: [dy.shape[0]!, a.height, a.width, dy.shape[3]!], dtype: dy.dtype },
		a.kernel,
		a,
	);
}

const pool2dGradOp = defineOp({
	name: "pool2dGrad",
	infer: (inputs, attributes) => {
		const { height, width } = attributes as unknown as PoolGradAttributes;
		const dy = inputs[1]!;
		return [{ shape: [dy.shape[0]!, height, width, dy.shape[3]!], dtype: dy.dtype }];
	},
	evaluate: (inputs, attributes, types) => {
		const [x, dy] = inputs as readonly [Contents | null, Contents];
		const a = attributes as unknown as PoolGradAttributes;
		const g = gradGeometry(types.inputs[1]!, a);
		const channels = types.inputs[1]!.shape[3]!;
		const dx = new Float64Array(g.n * g.h * g.w * channels);
		if (a.mode === "max")
			argmax(g, x!, channels).forEach((at, i) => {
				dx[at]! += dy[i]!;
			});
		else {
			const counts = divisors(g, a.mode);
			forEachTap(g, (output, input) => {
				for (let c = 0; c < channels; c++) dx[input * channels + c]! += dy[output * channels + c]! / counts[output]!;
			});
		}
		return [dx];
	},
	lower: (lowering, node) => {
		const [x, dy] = node.inputs as readonly [Value | null, Value];
		const a = node.attributes as unknown as PoolGradAttributes;
		lowering.call("pool2d_grad", node, {
			operands: [x && lowering.activation(x), lowering.activation(dy), lowering.result(node.outputs[0]!)],
			ints: poolInts(gradGeometry(dy, a), dy.shape[3]!, a.mode),
		});
	},
});

const pool2dOp = defineOp({
	name: "pool2d",
	infer: (inputs, attributes) => {
		const x = inputs[0]!;
		const a = attributes as unknown as PoolAttributes;
		const g = windowOver("pool2d", x, a.kernel, a);
		return [{ shape: [g.n, g.oh, g.ow, x.shape[3]!], dtype: x.dtype }];
	},
	evaluate: (inputs, attributes, types) => {
		const x = inputs[0]!;
		const a = attributes as unknown as PoolAttributes;
		const g = windowOver("pool2d", types.inputs[0]!, a.kernel, a);
		const channels = types.inputs[0]!.shape[3]!;
		if (a.mode === "max") return [Float64Array.from(argmax(g, x, channels), (at) => x[at]!)];
		const y = new Float64Array(g.n * g.oh * g.ow * channels);
		forEachTap(g, (output, input) => {
			for (let c = 0; c < channels; c++) y[output * channels + c]! += x[input * channels + c]!;
		});
		const counts = divisors(g, a.mode);
		return [y.map((total, at) => total / counts[Math.floor(at / channels)]!)];
	},
	differentiate: (c) => {
		const dy = c.grad(0);
		if (!dy) return [];
		const [, height, width] = c.inputType(0).shape;
		// An average's gradient does not read the picture.
		const x = c.attributes.mode === "max" ? c.input(0) : null;
		return [dy.graph.apply(pool2dGradOp, [x, dy], { ...c.attributes, height, width })[0]!];
	},
	lower: (lowering, node) => {
		const x = node.inputs[0]!;
		const a = node.attributes as unknown as PoolAttributes;
		lowering.call("pool2d", node, {
			operands: [lowering.activation(x), lowering.result(node.outputs[0]!)],
			ints: poolInts(windowOver("pool2d", x, a.kernel, a), x.shape[3]!, a.mode),
		});
	},
	samples: (random): Sample[] => {
		const c = random.integer(1, 40);
		const sample = (shape: number[], kernel: [number, number], stride: [number, number], padding: number[]): Sample[] =>
			(["max", "average", "averageValid"] as const).map((mode) => ({
				inputs: [{ shape, dtype: "f32" }],
				attributes: { mode, kernel, stride, padding, upsample: 1 } as Attributes,
			}));
		return [
			...sample([2, random.integer(3, 12), random.integer(3, 12), c], [3, 3], [2, 2], [1, 1, 1, 1]),
			...sample([1, random.integer(3, 9), random.integer(3, 9), c], [3, 3], [1, 1], [1, 1, 1, 1]),
			...sample([2, 6, 8, c], [2, 2], [2, 2], [0, 0, 0, 0]),
			...sample([1, 7, 5, 1], [4, 2], [3, 1], [0, 1, 3, 0]),
			...sample([1, 1, 1, 3], [1, 1], [1, 1], [0, 0, 0, 0]),
		];
	},
});

export interface PoolOptions {
	kernel: Pair;
	/** Default: the kernel. */
	stride?: Pair;
	/** Default 0; less than the kernel on every side. */
	padding?: Padding;
}

function pool(op: string, x: Value, options: PoolOptions, mode: keyof typeof MODES): Value {
	const kernel = toPair(op, "kernel", options.kernel);
	const stride = toPair(op, "stride", options.stride ?? kernel);
	const padding = toPadding(op, options.padding ?? 0);
	if (padding.some((size, side) => size >= kernel[side % 2]!))
		throw new ShapeError(
			`${op}: padding [${padding.join(", ")}] is not less than the kernel ${kernel.join("×")}, so a window could lie in it`,
		);
	return x.graph.apply(pool2dOp, [x], { mode, kernel, stride, padding, upsample: 1 })[0]!;
}

/**
 * Largest value of each window; padding never wins, and the gradient goes to a window's first maximum.
 *
 * @param x [N, H, W, C]
 * @returns [N, OH, OW, C] with OH = ⌊(H + top + bottom − kh) / stride⌋ + 1
 */
export const maxPool2d = (x: Value, options: PoolOptions): Value => pool("maxPool2d", x, options, "max");

/**
 * Mean of each window.
 *
 * @param x [N, H, W, C]
 * @param options countIncludePad: whether zeros of the padding are counted (default true, as in PyTorch; FID's Inception does not)
 * @returns [N, OH, OW, C], as `maxPool2d`
 */
export const avgPool2d = (x: Value, options: PoolOptions & { countIncludePad?: boolean }): Value =>
	pool("avgPool2d", x, options, (options.countIncludePad ?? true) ? "average" : "averageValid");
