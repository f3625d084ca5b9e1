// Convolutions over pictures [N, H, W, C], with their fused epilogues.
import type { Lowering, Operand } from "../compile/lowering.js";
import { ShapeError } from "../graph/errors.js";
import type { Value } from "../graph/graph.js";
import { type DType, formatType, sameShape, type Type } from "../graph/types.js";
import { add } from "./elementwise.js";
import { cutContents, halvesOf, joinContents, joinedType } from "./halves.js";
import { ACTIVATION_CODES, type Activation, activationBackward, applyActivation } from "./matmul.js";
import { sum } from "./reduce.js";
import { type Attributes, type Contents, defineOp, type Sample, type SampleRandom } from "./table.js";
import {
	checkPicture,
	forEachTap,
	type Padding,
	type Pair,
	toPadding,
	toPair,
	type WindowAttributes,
	type WindowGeometry,
	windowOver,
} from "./window.js";

/** Activations of a convolution's epilogue. */
export type ConvActivation = Exclude<Activation, "geglu">;

export interface Conv2dOptions {
	/** Default 1. */
	stride?: Pair;
	/** Zeros around the picture. Default 0; the autoencoder's downsampling pads [0, 0, 1, 1]. */
	padding?: Padding;
	/** [O], added before the activation. */
	bias?: Value | null;
	/** [N, O], added to every pixel of its picture before the activation (the time embedding). */
	channelVector?: Value | null;
	activation?: ConvActivation;
	/** Added after the activation; the result's shape. */
	residual?: Value | null;
	/** 2: the picture is first enlarged twice by nearest neighbour; stride and padding then count enlarged pixels. */
	upsample?: 1 | 2;
}

interface ConvAttributes extends WindowAttributes {
	readonly activation: ConvActivation;
}

interface InputGradAttributes extends WindowAttributes {
	/** Channels of x1 and, if there is one, x2. */
	readonly widths: readonly number[];
	/** Of the picture, before enlargement. */
	readonly height: number;
	readonly width: number;
}

interface WeightGradAttributes extends WindowAttributes {
	readonly kernel: readonly [number, number];
	readonly dtype: DType;
}

function checkWeight(op: string, weight: Type, channels: number): readonly [number, number, number, number] {
	if (weight.shape.length !== 4)
		throw new ShapeError(`${op}: expected a weight [O, I, kh, kw], got ${formatType(weight)}`);
	if (weight.dtype === "i32") throw new ShapeError(`${op}: i32 has no arithmetic (weight ${formatType(weight)})`);
	if (weight.shape[1] !== channels)
		throw new ShapeError(
			`${op}: the weight ${formatType(weight)} reads ${weight.shape[1]} channels, the picture has ${channels}`,
		);
	if (weight.shape[2]! < 1 || weight.shape[3]! < 1)
		throw new ShapeError(`${op}: the weight ${formatType(weight)} has an empty window`);
	return weight.shape as unknown as readonly [number, number, number, number];
}

function geometryOf(op: string, x: Type, weight: Type, window: WindowAttributes): WindowGeometry {
	const [, , kh, kw] = weight.shape as [number, number, number, number];
	return windowOver(op, x, [kh, kw], window);
}

/** [O, I, kh, kw] as [kh·kw, I, O], so that the reference's inner loops run along memory. */
function tapsFirst(weight: Contents, o: number, i: number, taps: number): Contents {
	const out = new Float64Array(weight.length);
	for (let k = 0; k < o; k++)
		for (let c = 0; c < i; c++)
			for (let t = 0; t < taps; t++) out[(t * i + c) * o + k] = weight[(k * i + c) * taps + t]!;
	return out;
}

/** The integers of docs/kernels.md. */
function convInts(
	g: WindowGeometry,
	c1: number,
	c2: number,
	o: number,
	activation: Activation,
	layout: number,
): number[] {
	return [
		...[g.n, g.h, g.w, c1, c2, o, g.kh, g.kw, ...g.stride, g.padding[0], g.padding[1], g.oh, g.ow],
		ACTIVATION_CODES[activation],
		layout,
		g.upsample,
	];
}

/** How a weight lies in memory, docs/kernels.md. */
const LAYOUTS = { plain: 0, packed: 1, chunks: 2, phases: 3 } as const;

/** What computes a convolution's products: CUDA cores (or a processor), or tensor cores from operands of 16 bits or in tf32. */
type Arithmetic = "f32" | "half" | "tf32";
const arithmeticOf = (lowering: Lowering, ...values: readonly (Value | null)[]): Arithmetic =>
	lowering.halves(...values) !== null ? "half" : lowering.tf32 ? "tf32" : "f32";
const kernelFor = (arithmetic: Arithmetic, name: string): string => (arithmetic === "tf32" ? `${name}_tf32` : name);

/** A frozen weight is packed once, for the convolution and its input gradient alike. */
function readWeight(
	lowering: Lowering,
	weight: Value,
	{ upsample, stride }: WindowAttributes,
	arithmetic: Arithmetic,
): { weight: Operand; layout: number } {
	if (arithmetic === "f32") {
		const packed = lowering.packed(weight, "conv2d", [...weight.shape, upsample]);
		return { weight: packed ?? lowering.contiguous(weight), layout: packed ? LAYOUTS.packed : LAYOUTS.plain };
	}
	// After enlarging, taps that read the same pixel are summed; that takes a stride of 1.
	const summed = upsample === 2 && stride.every((step) => step === 1);
	const isTf32 = arithmetic === "tf32";
	const packed = lowering.packed(weight, "conv2d", [...weight.shape, summed ? 2 : 1, 1], isTf32 ? "f32" : undefined);
	if (!packed) return { weight: isTf32 ? lowering.contiguous(weight) : lowering.stored(weight), layout: LAYOUTS.plain };
	return { weight: packed, layout: summed ? LAYOUTS.phases : LAYOUTS.chunks };
}

const conv2dInputGradOp = defineOp({
	name: "conv2dInputGrad",
	infer: (inputs, attributes) => {
		const { widths, height, width } = attributes as unknown as InputGradAttributes;
		const [dy] = inputs as [Type, Type];
		return widths.map((channels) => ({ shape: [dy.shape[0]!, height, width, channels], dtype: dy.dtype }));
	},
	evaluate: (inputs, attributes, types) => {
		const [dy, weight] = inputs as [Contents, Contents];
		const window = attributes as unknown as InputGradAttributes;
		const [o, i, kh, kw] = types.inputs[1]!.shape as [number, number, number, number];
		const g = inputGradGeometry(types.inputs[0]!, types.inputs[1]!, window);
		const taps = tapsFirst(weight, o, i, kh * kw);
		const dx = new Float64Array(g.n * g.h * g.w * i);
		forEachTap(g, (output, input, tap) => {
			for (let c = 0; c < i; c++) {
				let total = 0;
				for (let k = 0; k < o; k++) total += dy[output * o + k]! * taps[(tap * i + c) * o + k]!;
				dx[input * i + c]! += total;
			}
		});
		return cutContents(dx, window.widths);
	},
	lower: (lowering, node) => {
		const [dy, w] = node.inputs as readonly [Value, Value];
		const window = node.attributes as unknown as InputGradAttributes;
		const [c1, c2 = 0] = window.widths as [number, number?];
		const [dx1, dx2] = node.outputs;
		const arithmetic = arithmeticOf(lowering, dy, w);
		const half = arithmetic === "half";
		const { weight, layout } = readWeight(lowering, w, window, arithmetic);
		const result = (value: Value) => (half ? lowering.resultIfUsed(value) : lowering.outputIfUsed(value));
		lowering.call(kernelFor(arithmetic, "conv2d_input_grad"), node, {
			operands: [half ? lowering.stored(dy) : lowering.contiguous(dy), weight, result(dx1!), dx2 ? result(dx2) : null],
			ints: convInts(inputGradGeometry(dy, w, window), c1, c2, w.shape[0]!, "none", layout),
		});
	},
});

function inputGradGeometry(dy: Type, weight: Type, window: InputGradAttributes): WindowGeometry {
	const x: Type = { shape: [dy.shape[0]!, window.height, window.width, weight.shape[1]!], dtype: dy.dtype };
	return geometryOf("conv2dInputGrad", x, weight, window);
}

const conv2dWeightGradOp = defineOp({
	name: "conv2dWeightGrad",
	infer: (inputs, attributes) => {
		const [x1, x2, dy] = inputs as readonly [Type, Type | null, Type];
		const { kernel, dtype } = attributes as unknown as WeightGradAttributes;
		return [{ shape: [dy.shape[3]!, joinedType(x1, x2).shape[3]!, ...kernel], dtype }];
	},
	evaluate: (inputs, attributes, types) => {
		const [x1, x2, dy] = inputs as readonly [Contents, Contents | null, Contents];
		const x = joinedType(types.inputs[0]!, types.inputs[1]!);
		const data = joinContents(x1, x2, types.inputs[0]!.shape[3]!, types.inputs[1]?.shape[3] ?? 0);
		const [o, i, kh, kw] = types.outputs[0]!.shape as [number, number, number, number];
		const g = geometryOf("conv2dWeightGrad", x, types.outputs[0]!, attributes as unknown as WeightGradAttributes);
		const dw = new Float64Array(o * i * kh * kw);
		forEachTap(g, (output, input, tap) => {
			for (let k = 0; k < o; k++)
				for (let c = 0; c < i; c++) dw[(k * i + c) * kh * kw + tap]! += dy[output * o + k]! * data[input * i + c]!;
		});
		return [dw];
	},
	lower: (lowering, node) => {
		const [x1, x2, dy] = node.inputs as readonly [Value, Value | null, Value];
		const dw = node.outputs[0]!;
		const g = geometryOf(
			"conv2dWeightGrad",
			joinedType(x1, x2),
			dw,
			node.attributes as unknown as WeightGradAttributes,
		);
		const arithmetic = arithmeticOf(lowering, dy, x1, x2);
		const read = (value: Value) => (arithmetic === "half" ? lowering.stored(value) : lowering.contiguous(value));
		lowering.call(kernelFor(arithmetic, "conv2d_weight_grad"), node, {
			operands: [read(x1), x2 && read(x2), read(dy), lowering.output(dw)],
			ints: convInts(g, x1.shape[3]!, x2?.shape[3] ?? 0, dw.shape[0]!, "none", LAYOUTS.plain),
		});
	},
});

type ConvInputs<T> = readonly [
	x1: T,
	x2: T | null,
	weight: T,
	bias: T | null,
	channelVector: T | null,
	residual: T | null,
];

const conv2dOp = defineOp({
	name: "conv2d",
	residualInput: 5,
	infer: (inputs, attributes) => {
		const [x1, x2, weight, bias, channelVector, residual] = inputs as ConvInputs<Type>;
		const a = attributes as unknown as ConvAttributes;
		checkPicture("conv2d", x1);
		const x = joinedType(x1, x2);
		const [o] = checkWeight("conv2d", weight, x.shape[3]!);
		const g = geometryOf("conv2d", x, weight, a);
		if (bias && !sameShape(bias.shape, [o]))
			throw new ShapeError(`conv2d: the bias ${formatType(bias)} must have the shape [${o}]`);
		if (channelVector && !sameShape(channelVector.shape, [g.n, o]))
			throw new ShapeError(
				`conv2d: the channel vector ${formatType(channelVector)} must have the shape [${g.n}, ${o}]`,
			);
		const shape = [g.n, g.oh, g.ow, o];
		if (residual && !sameShape(residual.shape, shape))
			throw new ShapeError(
				`conv2d: the residual ${formatType(residual)} must have the result's shape [${shape.join(", ")}]`,
			);
		return [
			{ shape, dtype: x.dtype },
			{ shape, dtype: x.dtype },
		];
	},
	evaluate: (inputs, attributes, types) => {
		const [x1, x2, weight, bias, channelVector, residual] = inputs as ConvInputs<Contents>;
		const [type1, type2, weightType] = types.inputs as ConvInputs<Type>;
		const a = attributes as unknown as ConvAttributes;
		const data = joinContents(x1, x2, type1.shape[3]!, type2?.shape[3] ?? 0);
		const [o, i, kh, kw] = weightType.shape as [number, number, number, number];
		const g = geometryOf("conv2d", joinedType(type1, type2), weightType, a);
		const taps = tapsFirst(weight, o, i, kh * kw);
		const u = new Float64Array(g.n * g.oh * g.ow * o);
		forEachTap(g, (output, input, tap) => {
			for (let c = 0; c < i; c++) {
				const value = data[input * i + c]!;
				for (let k = 0; k < o; k++) u[output * o + k]! += value * taps[(tap * i + c) * o + k]!;
			}
		});
		const pixels = g.oh * g.ow;
		for (let at = 0; at < u.length; at++) {
			const k = at % o;
			const n = Math.floor(at / (pixels * o));
			u[at]! += (bias ? bias[k]! : 0) + (channelVector ? channelVector[n * o + k]! : 0);
		}
		const y = applyActivation(u, o, a.activation);
		if (residual) for (let at = 0; at < y.length; at++) y[at]! += residual[at]!;
		return [y, u];
	},
	differentiate: (c) => {
		const { stride, padding, upsample, activation } = c.attributes as unknown as ConvAttributes;
		const dy = c.grad(0);
		let du = dy && activationBackward(dy, () => c.output(1), activation);
		const direct = c.grad(1);
		if (direct) du = du ? add(du, direct) : direct;
		if (!du) return [];
		const graph = du.graph;
		const window = { stride, padding, upsample };
		const [, height, width, c1] = c.inputType(0).shape;
		const widths = c.hasInput(1) ? [c1, c.inputType(1).shape[3]] : [c1];
		const weight = c.inputType(2);
		const weightGrad = { ...window, kernel: weight.shape.slice(2), dtype: weight.dtype };
		const [dx1, dx2] =
			c.needs(0) || c.needs(1)
				? graph.apply(conv2dInputGradOp, [du, c.input(2)], { ...window, widths, height, width })
				: [];
		return [
			c.needs(0) ? dx1! : null,
			c.needs(1) ? dx2! : null,
			c.needs(2)
				? graph.apply(conv2dWeightGradOp, [c.input(0), c.hasInput(1) ? c.input(1) : null, du], weightGrad)[0]!
				: null,
			c.needs(3) ? sum(du, [0, 1, 2]) : null,
			c.needs(4) ? sum(du, [1, 2]) : null,
			c.needs(5) ? dy : null,
		];
	},
	lower: (lowering, node) => {
		const [x1, x2, w, bias, channelVector, residual] = node.inputs as ConvInputs<Value>;
		const a = node.attributes as unknown as ConvAttributes;
		const arithmetic = arithmeticOf(lowering, x1, x2, w);
		const half = arithmetic === "half";
		const { weight, layout } = readWeight(lowering, w, a, arithmetic);
		const g = geometryOf("conv2d", joinedType(x1, x2), w, a);
		const read = (value: Value | null) => value && (half ? lowering.activation(value) : lowering.contiguous(value));
		const [y, u] = node.outputs as readonly [Value, Value];
		lowering.call(kernelFor(arithmetic, "conv2d"), node, {
			operands: [
				read(x1),
				read(x2),
				weight,
				bias && lowering.contiguous(bias),
				read(channelVector),
				read(residual),
				half ? lowering.result(y) : lowering.output(y),
				half ? lowering.resultIfUsed(u) : lowering.outputIfUsed(u),
			],
			ints: convInts(g, x1.shape[3]!, x2?.shape[3] ?? 0, w.shape[0]!, a.activation, layout),
		});
	},
	samples: (random) => convSamples(random),
});

function convSamples(random: SampleRandom): Sample[] {
	const f32 = (...shape: number[]): Type => ({ shape, dtype: "f32" });
	const plain: ConvAttributes = { stride: [1, 1], padding: [1, 1, 1, 1], upsample: 1, activation: "none" };
	const sample = (
		x: number[],
		weight: number[],
		attributes: Partial<ConvAttributes>,
		extras: (Type | null)[] = [],
		x2: number[] | null = null,
	): Sample => ({
		inputs: [f32(...x), x2 && f32(...x2), f32(...weight), ...[0, 1, 2].map((k) => extras[k] ?? null)],
		attributes: { ...plain, ...attributes } as unknown as Attributes,
	});
	const [h, w] = [random.integer(3, 9), random.integer(3, 11)];
	const [i, o] = [random.integer(1, 19), random.integer(1, 21)];
	const [i2, o2] = [random.integer(1, 9), random.integer(17, 40)];
	return [
		sample([2, h, w, i], [o, i, 3, 3], {}, [f32(o)]),
		sample([1, h, w, i2], [o2, i2, 3, 3], { activation: "silu" }, [f32(o2), f32(1, o2), f32(1, h, w, o2)]),
		sample([2, h, w, i], [o, i, 1, 1], { padding: [0, 0, 0, 0] }, [null, f32(2, o)]),
		sample([1, 8, 7, i], [o, i, 3, 3], { stride: [2, 2] }, [f32(o)]),
		// The autoencoder's downsampling.
		sample([1, h, w, i2], [o2, i2, 3, 3], { stride: [2, 2], padding: [0, 0, 1, 1] }, [f32(o2)]),
		sample([1, h, w, i], [o, i, 1, 1], { stride: [2, 2], padding: [0, 0, 0, 0] }),
		// Two values side by side.
		sample([2, h, w, i], [o, i + i2, 3, 3], {}, [f32(o), null, f32(2, h, w, o)], [2, h, w, i2]),
		sample([1, h, w, i], [o, i + i2, 1, 1], { padding: [0, 0, 0, 0] }, [], [1, h, w, i2]),
		// Enlarged first.
		sample([1, 4, 3, i], [o2, i + i2, 3, 3], { upsample: 2 }, [], [1, 4, 3, i2]),
		sample([1, 3, 5, i], [o, i, 3, 3], { upsample: 2 }, [f32(o)]),
		sample([2, 1, 1, 3], [2, 3, 3, 3], { upsample: 2, activation: "relu" }, [f32(2)]),
		// ResNet's stem and windows that are not square.
		sample([1, 15, 11, 3], [o, 3, 7, 7], { stride: [2, 2], padding: [3, 3, 3, 3], activation: "relu" }, [f32(o)]),
		sample([1, h, w, i], [o, i, 2, 5], { stride: [1, 3], padding: [0, 4, 2, 1], activation: "gelu" }),
		// Several panels of outputs and channels.
		sample([1, 11, 13, 65], [70, 65, 3, 3], {}, [f32(70)]),
		sample([1, 1, 1, 1], [1, 1, 3, 3], { activation: "quickGelu" }, [f32(1), f32(1, 1), f32(1, 1, 1, 1)]),
	];
}

/**
 * 2-D convolution (cross-correlation, as in PyTorch): act(x ⋆ weight + bias + channelVector) + residual.
 *
 * A concat of two values along the channels is read in place, and a frozen weight from a copy packed for the kernel.
 *
 * @param x [N, H, W, I]
 * @param weight [O, I, kh, kw], as checkpoints store it
 * @returns [N, OH, OW, O] with OH = ⌊(upsample·H + top + bottom − kh) / stride⌋ + 1
 * @throws ShapeError where the shapes do not fit
 */
export function conv2d(x: Value, weight: Value, options: Conv2dOptions = {}): Value {
	const activation: string = options.activation ?? "none";
	if (activation === "geglu") throw new ShapeError("conv2d: geglu is an activation of linear layers only");
	const upsample = options.upsample ?? 1;
	if (upsample !== 1 && upsample !== 2) throw new ShapeError(`conv2d: upsample is 1 or 2, not ${upsample}`);
	const inputs = [
		...halvesOf(x),
		weight,
		options.bias ?? null,
		options.channelVector ?? null,
		options.residual ?? null,
	];
	return x.graph.apply(conv2dOp, inputs, {
		stride: toPair("conv2d", "stride", options.stride ?? 1),
		padding: toPadding("conv2d", options.padding ?? 0),
		upsample,
		activation,
	})[0]!;
}

/** The picture enlarged twice by nearest neighbour, then convolved: `conv2d` with upsample 2. The enlarged picture is never written. */
export function upsampleConv2d(x: Value, weight: Value, options: Omit<Conv2dOptions, "upsample"> = {}): Value {
	return conv2d(x, weight, { ...options, upsample: 2 });
}
