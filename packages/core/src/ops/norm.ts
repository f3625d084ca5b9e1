// Normalisation of rows and of batches; group-norm.ts has the one over groups of channels.
import { ShapeError } from "../graph/errors.js";
import type { Value } from "../graph/graph.js";
import { formatType, sameShape, sizeOf, type Type } from "../graph/types.js";
import { add, cast, mul, type Operand, rsqrt, sub } from "./elementwise.js";
import { mean, sumSquares } from "./reduce.js";
import { type Contents, defineOp, type Op, type Sample } from "./table.js";

/** Throws unless the optional scale or shift is a float vector over the channels. */
export function checkScale(op: string, what: string, value: Type | null, channels: number): void {
	if (!value) return;
	if (!sameShape(value.shape, [channels]) || value.dtype === "i32")
		throw new ShapeError(`${op}: the ${what} ${formatType(value)} must be floats of the shape [${channels}]`);
}

export function checkEps(op: string, eps: number): void {
	if (!(eps >= 0)) throw new ShapeError(`${op}: eps must be a number ≥ 0, not ${eps}`);
}

/** The gradients, or with `absolute` the sums of the absolute values of their terms. */
function layerNormGradients([inputs, , types]: Parameters<Op["evaluate"]>, absolute: boolean): Contents[] {
	const term = absolute ? Math.abs : (value: number) => value;
	const minus = absolute ? 1 : -1;
	const [x, weight, stats, dy] = inputs as readonly [Contents, Contents | null, Contents, Contents];
	const channels = types.inputs[0]!.shape.at(-1)!;
	const dx = new Float64Array(x.length);
	const dweight = new Float64Array(channels);
	const dbias = new Float64Array(channels);
	for (let row = 0; row * channels < x.length; row++) {
		const [center, scale] = [stats[2 * row]!, stats[2 * row + 1]!];
		let total = 0;
		let along = 0;
		for (let k = 0; k < channels; k++) {
			const at = row * channels + k;
			const normal = term((x[at]! - center) * scale);
			const g = dy[at]! * (weight ? weight[k]! : 1);
			dweight[k]! += dy[at]! * normal;
			dbias[k]! += dy[at]!;
			total += g;
			along += g * normal;
		}
		for (let k = 0; k < channels; k++) {
			const at = row * channels + k;
			const normal = term((x[at]! - center) * scale);
			dx[at] = scale * (dy[at]! * (weight ? weight[k]! : 1) + (minus * (total + normal * along)) / channels);
		}
	}
	return [dx, dweight, dbias];
}

const layerNormGradOp = defineOp({
	name: "layerNormGrad",
	infer: (inputs) => {
		const [x, weight] = inputs as readonly [Type, Type | null];
		const channels = { shape: x.shape.slice(-1), dtype: weight?.dtype ?? "f32" };
		return [{ shape: x.shape, dtype: x.dtype }, channels, channels];
	},
	evaluate: (...given) => layerNormGradients(given, false),
	magnitude: (...given) => layerNormGradients(given, true),
	lower: (lowering, node) => {
		const [x, weight, stats, dy] = node.inputs as readonly [Value, Value | null, Value, Value];
		const channels = x.shape.at(-1)!;
		lowering.call("layer_norm_grad", node, {
			operands: [
				lowering.activation(x),
				weight && lowering.contiguous(weight),
				lowering.contiguous(stats),
				lowering.activation(dy),
				lowering.resultIfUsed(node.outputs[0]!),
				...node.outputs.slice(1).map((value) => lowering.outputIfUsed(value)),
			],
			ints: [x.size / Math.max(1, channels), channels],
		});
	},
});

const layerNormOp = defineOp({
	name: "layerNorm",
	auxiliaryOutputs: [1],
	infer: (inputs, attributes) => {
		const [x, weight, bias] = inputs as readonly [Type, Type | null, Type | null];
		if (x.shape.length < 1 || x.dtype === "i32")
			throw new ShapeError(`layerNorm: expected floats [..., C], got ${formatType(x)}`);
		const channels = x.shape.at(-1)!;
		checkEps("layerNorm", attributes.eps as number);
		checkScale("layerNorm", "weight", weight, channels);
		checkScale("layerNorm", "bias", bias, channels);
		return [
			{ shape: x.shape, dtype: x.dtype },
			{ shape: [...x.shape.slice(0, -1), 2], dtype: "f32" },
		];
	},
	evaluate: (inputs, attributes, types) => {
		const [x, weight, bias] = inputs as readonly [Contents, Contents | null, Contents | null];
		const channels = types.inputs[0]!.shape.at(-1)!;
		const y = new Float64Array(x.length);
		const stats = new Float64Array(sizeOf(types.outputs[1]!.shape));
		for (let row = 0; row * channels < x.length; row++) {
			const values = x.subarray(row * channels, (row + 1) * channels);
			const center = values.reduce((sum, value) => sum + value, 0) / channels;
			const spread = values.reduce((sum, value) => sum + (value - center) ** 2, 0) / channels;
			const scale = 1 / Math.sqrt(spread + (attributes.eps as number));
			stats.set([center, scale], 2 * row);
			for (let k = 0; k < channels; k++)
				y[row * channels + k] = (values[k]! - center) * scale * (weight ? weight[k]! : 1) + (bias ? bias[k]! : 0);
		}
		return [y, stats];
	},
	differentiate: (c) => {
		const dy = c.grad(0);
		if (!dy) return [];
		const inputs = [c.input(0), c.hasInput(1) ? c.input(1) : null, c.output(1), dy];
		const [dx, dweight, dbias] = dy.graph.apply(layerNormGradOp, inputs);
		return [
			c.needs(0) ? dx! : null,
			c.needs(1) ? dweight! : null,
			c.needs(2) ? cast(dbias!, c.inputType(2).dtype) : null,
		];
	},
	lower: (lowering, node) => {
		const [x, weight, bias] = node.inputs as readonly [Value, Value | null, Value | null];
		const channels = x.shape.at(-1)!;
		lowering.call("layer_norm", node, {
			operands: [
				lowering.activation(x),
				weight && lowering.contiguous(weight),
				bias && lowering.contiguous(bias),
				lowering.result(node.outputs[0]!),
				lowering.outputIfUsed(node.outputs[1]!),
			],
			ints: [x.size / Math.max(1, channels), channels],
			floats: [node.attributes.eps as number],
		});
	},
	samples: (random): Sample[] => {
		const f32 = (...shape: number[]): Type => ({ shape, dtype: "f32" });
		const [rows, c] = [random.integer(1, 90), random.integer(2, 150)];
		return [
			{ inputs: [f32(2, rows, c), f32(c), f32(c)], attributes: { eps: 1e-5 } },
			{ inputs: [f32(rows, c), null, null], attributes: { eps: 1e-6 } },
			{ inputs: [f32(rows, c), null, f32(c)], attributes: { eps: 1e-5 } },
			{ inputs: [f32(c), f32(c), null], attributes: { eps: 1e-12 } },
			{ inputs: [f32(3, 1), f32(1), f32(1)], attributes: { eps: 1e-5 } },
			{ inputs: [f32(3, 1024), f32(1024), f32(1024)], attributes: { eps: 1e-5 } },
			{
				inputs: [f32(4, c), f32(c), f32(c)],
				attributes: { eps: 1e-5 },
				draw: (i, normal) => (i === 0 ? 100 : 0) + normal(),
			},
		];
	},
});

export interface LayerNormOptions {
	/** Default 1e-5. */
	eps?: number;
	/** [C]; absent: 1. */
	weight?: Value | null;
	/** [C]; absent: 0. */
	bias?: Value | null;
}

/**
 * Layer normalisation of the last axis: (x − mean) / √(var + eps) · weight + bias, with the biased variance; statistics in f32.
 *
 * @param x [..., C]
 * @returns x's shape
 * @throws ShapeError where the shapes do not fit
 */
export function layerNorm(x: Value, options: LayerNormOptions = {}): Value {
	const { eps = 1e-5, weight = null, bias = null } = options;
	return x.graph.apply(layerNormOp, [x, weight, bias], { eps })[0]!;
}

export interface BatchNormOptions {
	/** [C]; absent: 1. */
	weight?: Value | null;
	/** [C]; absent: 0. */
	bias?: Value | null;
	/** [C], f32. */
	runningMean: Value;
	/** [C], f32; unbiased. */
	runningVariance: Value;
	/** Default 1e-5. */
	eps?: number;
	/** Training: statistics of the batch. Default false: the running ones. */
	training?: boolean;
	/** Share of the batch in the new running statistics. Default 0.1. */
	momentum?: Operand;
}

export interface BatchNormResult {
	/** x's shape. */
	y: Value;
	/** New running statistics for `graph.assign`; without training, those given. */
	runningMean: Value;
	runningVariance: Value;
}

/**
 * Batch normalisation over all axes but the last, composed of other ops; statistics in f32.
 *
 * In training the batch is normalised by its own mean and biased variance (divided by n), and the running variance takes the unbiased one
 * (divided by n − 1), as PyTorch does.
 *
 * @param x [..., C]
 * @throws ShapeError where the shapes do not fit, or in training with a single value per channel
 */
export function batchNorm(x: Value, options: BatchNormOptions): BatchNormResult {
	const {
		weight = null,
		bias = null,
		runningMean,
		runningVariance,
		eps = 1e-5,
		training = false,
		momentum = 0.1,
	} = options;
	if (x.rank < 2 || x.dtype === "i32")
		throw new ShapeError(`batchNorm: expected floats [..., C], got ${formatType(x)}`);
	const channels = x.shape.at(-1)!;
	checkEps("batchNorm", eps);
	for (const [what, value] of Object.entries({
		weight,
		bias,
		"running mean": runningMean,
		"running variance": runningVariance,
	}))
		checkScale("batchNorm", what, value, channels);

	const wide = cast(x, "f32");
	const normalize = (centered: Value, spread: Value): Value => {
		const scale = rsqrt(add(spread, eps));
		const y = mul(centered, weight ? mul(scale, cast(weight, "f32")) : scale);
		return cast(bias ? add(y, cast(bias, "f32")) : y, x.dtype);
	};
	if (!training) return { y: normalize(sub(wide, runningMean), runningVariance), runningMean, runningVariance };

	const n = x.size / Math.max(1, channels);
	if (n < 2) throw new ShapeError(`batchNorm: training needs more than one value per channel, got ${formatType(x)}`);
	const axes = Array.from({ length: x.rank - 1 }, (_, i) => i);
	const center = mean(wide, axes);
	const centered = sub(wide, center);
	const spread = mul(sumSquares(centered, axes), 1 / n);
	const toward = (running: Value, batch: Value) => add(running, mul(sub(batch, running), momentum));
	return {
		y: normalize(centered, spread),
		runningMean: toward(runningMean, center),
		runningVariance: toward(runningVariance, mul(spread, n / (n - 1))),
	};
}
