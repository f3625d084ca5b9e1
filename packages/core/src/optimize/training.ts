// What training loops need around an optimiser.
import type { ActivationType } from "../compile/activations.js";
import type { Tensor } from "../device/tensor.js";
import { gradients } from "../differentiate/gradients.js";
import { ArgumentError } from "../errors.js";
import type { Value } from "../graph/graph.js";
import { add, cast, div, minimum, mul, type Operand, sqrt, sub } from "../ops/elementwise.js";
import { sumSquares } from "../ops/reduce.js";

/**
 * The factor that brings gradients to a global norm of at most `maxNorm`: min(1, maxNorm / (norm + 1e-6)), as PyTorch's
 * `clip_grad_norm_`. Given to `Optimizer.update` as `gradScale`, it costs no pass over the gradients of its own.
 *
 * @returns norm: √Σ‖g‖² before clipping; scale: the factor. Both f32 scalars.
 */
export function clipByGlobalNorm(gradients: readonly Value[], maxNorm: Operand): { norm: Value; scale: Value } {
	if (gradients.length === 0) throw new ArgumentError("clipByGlobalNorm: at least one gradient is needed");
	const norm = sqrt(gradients.map((gradient) => sumSquares(cast(gradient, "f32"))).reduce((a, b) => add(a, b)));
	return { norm, scale: minimum(div(maxNorm, add(norm, 1e-6)), 1) };
}

/**
 * What to multiply a mean of errors by before it is differentiated where activations are stored so: a gradient of one of many errors
 * is below what f16 can tell from 0 (Micikevicius et al. 2018). A power of two, so that nothing is rounded by it; 1 for f32 and bf16.
 *
 * @param errors How many errors the mean is taken of. Their own gradients are then at most an eighth of twice their size.
 */
export function lossScale(activations: ActivationType, errors: number): number {
	return activations === "f16" ? 2 ** Math.max(Math.floor(Math.log2(errors)) - 3, 0) : 1;
}

/** Gradients of a loss, computed of `scale` times the loss. */
export function scaledGradients(loss: Value, wrt: readonly Value[], scale: number): Value[] {
	if (scale === 1) return gradients(loss, wrt);
	return gradients(mul(loss, scale), wrt).map((gradient) => mul(gradient, 1 / scale));
}

/**
 * Exponential moving average kept in state: average ← decay · average + (1 − decay) · value.
 *
 * @param average State of the value's shape.
 * @param decay A number, or a scalar input if it varies.
 * @returns The new average.
 */
export function ema(average: Tensor, value: Value, decay: Operand): Value {
	const before = value.graph.state(average);
	const share = typeof decay === "number" ? 1 - decay : sub(1, decay);
	const after = add(before, mul(sub(value, before), share));
	value.graph.assign(average, after);
	return after;
}
