// Losses and the normalisation that contrastive ones need; all composed of other ops.
import { ShapeError } from "../graph/errors.js";
import type { Value } from "../graph/graph.js";
import { formatShape, formatType, sameShape } from "../graph/types.js";
import { abs, add, cast, maximum, mul, neg, rsqrt, square, sub } from "./elementwise.js";
import { oneHot } from "./embedding.js";
import { mean, sum, sumSquares } from "./reduce.js";
import { logSoftmax } from "./softmax.js";

/** How a loss is reduced: over everything, or not at all. */
export type LossReduction = "mean" | "sum" | "none";

function reduced(loss: Value, reduction: LossReduction): Value {
	return reduction === "none" ? loss : reduction === "sum" ? sum(loss) : mean(loss);
}

/** The difference in f32, whatever the storage. */
function difference(op: string, prediction: Value, target: Value): Value {
	if (!sameShape(prediction.shape, target.shape))
		throw new ShapeError(
			`${op}: the prediction ${formatType(prediction)} and the target ${formatType(target)} differ in shape`,
		);
	return sub(cast(prediction, "f32"), cast(target, "f32"));
}

/** Mean squared error, f32. */
export function mse(prediction: Value, target: Value, reduction: LossReduction = "mean"): Value {
	return reduced(square(difference("mse", prediction, target)), reduction);
}

/** Mean absolute error, f32. */
export function l1(prediction: Value, target: Value, reduction: LossReduction = "mean"): Value {
	return reduced(abs(difference("l1", prediction, target)), reduction);
}

export interface CrossEntropyOptions {
	/** ε: targets become (1 − ε)·target + ε/C. Default 0. */
	labelSmoothing?: number;
	/** Over the rows. Default "mean". */
	reduction?: LossReduction;
}

/**
 * Cross-entropy −Σ target · log softmax(logits) of each row, f32.
 *
 * @param logits [..., C]
 * @param targets Class indices, i32 [...] (one outside [0, C) gives a row no loss but that of smoothing), or probabilities [..., C].
 * @returns A scalar, or [...] with reduction "none"
 */
export function crossEntropy(logits: Value, targets: Value, options: CrossEntropyOptions = {}): Value {
	const { labelSmoothing = 0, reduction = "mean" } = options;
	const classes = logits.shape.at(-1);
	if (classes === undefined || classes < 1 || logits.dtype === "i32")
		throw new ShapeError(`crossEntropy: expected logits [..., C], got ${formatType(logits)}`);
	if (!(labelSmoothing >= 0 && labelSmoothing <= 1))
		throw new ShapeError(`crossEntropy: label smoothing must be from 0 to 1, not ${labelSmoothing}`);
	const indices = targets.dtype === "i32";
	const expected = indices ? logits.shape.slice(0, -1) : logits.shape;
	if (!sameShape(targets.shape, expected))
		throw new ShapeError(
			`crossEntropy: ${indices ? "class indices" : "probabilities"} for ${formatType(logits)} must have the shape ${formatShape(expected)}, not ${formatShape(targets.shape)}`,
		);
	const hard = indices ? oneHot(targets, classes) : cast(targets, "f32");
	const soft = labelSmoothing > 0 ? add(mul(hard, 1 - labelSmoothing), labelSmoothing / classes) : hard;
	return reduced(neg(sum(mul(soft, logSoftmax(cast(logits, "f32"))), -1)), reduction);
}

/**
 * x / max(‖x‖₂, eps) along one axis, as PyTorch's `F.normalize`; the norm in f32. A zero row stays zero and its gradient is finite.
 *
 * @param options axis: default the last. eps: default 1e-12.
 */
export function l2Normalize(x: Value, options: { axis?: number; eps?: number } = {}): Value {
	const { axis = -1, eps = 1e-12 } = options;
	const wide = cast(x, "f32");
	const squares = sumSquares(wide, axis, { keepDims: true });
	return cast(mul(wide, rsqrt(maximum(squares, eps * eps))), x.dtype);
}
