// Optimisers: one in-place kernel per parameter. Every number that changes from step to step is an input of the program.
import { ArgumentError } from "../errors.js";
import { ShapeError } from "../graph/errors.js";
import type { Value } from "../graph/graph.js";
import { formatType, sameShape, sizeOf, type Type } from "../graph/types.js";
import { type Contents, defineOp, type Sample, type SampleRandom } from "./table.js";

/** Length of a hyper vector, docs/kernels.md. */
export const HYPER = 8;

/** Checks p, then the moments, then g and hyper; returns the types of what is updated. */
function inferUpdate(op: string, inputs: readonly (Type | null)[], updated: number): Type[] {
	const types = inputs as readonly Type[];
	const [p] = types as [Type];
	const state = types.slice(0, updated);
	const gradient = types[updated]!;
	const hyper = types[updated + 1]!;
	const wrong = state.find((type) => type.dtype !== "f32" || !sameShape(type.shape, p.shape));
	if (wrong)
		throw new ShapeError(
			`${op}: the parameter ${formatType(p)} and its moments must be f32 of one shape, not ${formatType(wrong)}`,
		);
	if (gradient.dtype === "i32" || !sameShape(gradient.shape, p.shape))
		throw new ShapeError(`${op}: the gradient ${formatType(gradient)} does not fit the parameter ${formatType(p)}`);
	if (hyper.dtype !== "f32" || !sameShape(hyper.shape, [HYPER]))
		throw new ShapeError(`${op}: the hyper vector must be f32[${HYPER}], not ${formatType(hyper)}`);
	return state.map(() => p);
}

function updateSamples(random: SampleRandom, updated: number, hypers: readonly (readonly number[])[]): Sample[] {
	return hypers.flatMap((hyper) =>
		[[random.integer(1, 500)], [random.integer(1, 40), 33], [], [4099]].map((shape): Sample => {
			const f32 = (of: readonly number[]): Type => ({ shape: of, dtype: "f32" });
			return {
				inputs: [...Array.from({ length: updated + 1 }, () => f32(shape)), f32([HYPER])],
				attributes: { nesterov: sizeOf(shape) % 2 === 0 },
				// The second moment, v, is a sum of squares.
				draw: (input, normal, index) =>
					input === updated + 1 ? (hyper[index] ?? 0) : updated === 3 && input === 2 ? normal() ** 2 : normal(),
			};
		}),
	);
}

/** AdamW in place (Loshchilov & Hutter 2019, in PyTorch's order): p, m, v, g, hyper → p, m, v. */
export const adamwOp = defineOp({
	name: "adamw",
	infer: (inputs) => inferUpdate("adamw", inputs, 3),
	evaluate: (inputs) => {
		const [p, m, v, g, hyper] = (inputs as readonly Contents[]).map((data) => data.slice());
		const [lr, beta1, beta2, eps, decay, correction1, correction2, gradScale] = hyper as unknown as number[];
		for (let i = 0; i < p!.length; i++) {
			const scaled = gradScale! * g![i]!;
			m![i] = beta1! * m![i]! + (1 - beta1!) * scaled;
			v![i] = beta2! * v![i]! + (1 - beta2!) * scaled * scaled;
			const step = (lr! * (m![i]! / correction1!)) / (Math.sqrt(v![i]! / correction2!) + eps!);
			p![i] = p![i]! * (1 - lr! * decay!) - step;
		}
		return [p!, m!, v!];
	},
	lower: (lowering, node) => {
		const [p, m, v, g, hyper] = node.inputs as readonly [Value, Value, Value, Value, Value];
		const gradient = lowering.contiguous(g);
		const numbers = lowering.contiguous(hyper);
		const updated = [p, m, v].map((value, i) => lowering.inPlace(value, node.outputs[i]!));
		lowering.call("adamw", node, { operands: [...updated, gradient, numbers], ints: [p.size] });
	},
	samples: (random) =>
		updateSamples(random, 3, [
			[1e-3, 0.9, 0.999, 1e-8, 0.01, 1 - 0.9, 1 - 0.999, 1],
			[0.05, 0.8, 0.99, 1e-6, 0, 1 - 0.8 ** 7, 1 - 0.99 ** 7, 0.25],
		]),
});

/** SGD with momentum in place: p, m, g, hyper → p, m. Attribute nesterov: the step looks ahead along the momentum. */
export const sgdOp = defineOp({
	name: "sgd",
	infer: (inputs) => inferUpdate("sgd", inputs, 2),
	evaluate: (inputs, attributes) => {
		const [p, m, g, hyper] = (inputs as readonly Contents[]).map((data) => data.slice());
		const [lr, momentum, decay, gradScale, first] = hyper as unknown as number[];
		for (let i = 0; i < p!.length; i++) {
			const gradient = gradScale! * g![i]! + decay! * p![i]!;
			m![i] = first ? gradient : momentum! * m![i]! + gradient;
			p![i]! -= lr! * (attributes.nesterov ? gradient + momentum! * m![i]! : m![i]!);
		}
		return [p!, m!];
	},
	lower: (lowering, node) => {
		const [p, m, g, hyper] = node.inputs as readonly [Value, Value, Value, Value];
		const gradient = lowering.contiguous(g);
		const numbers = lowering.contiguous(hyper);
		const updated = [p, m].map((value, i) => lowering.inPlace(value, node.outputs[i]!));
		lowering.call("sgd", node, {
			operands: [...updated, gradient, numbers],
			ints: [p.size, node.attributes.nesterov ? 1 : 0],
		});
	},
	samples: (random) =>
		updateSamples(random, 2, [
			[0.1, 0.9, 1e-4, 1, 1],
			[0.1, 0.9, 1e-4, 0.5, 0],
			[0.01, 0, 0, 1, 0],
		]),
});

export interface AdamWSettings {
	/** Default 0.9. */
	beta1?: number;
	/** Default 0.999. */
	beta2?: number;
	/** Default 1e-8. */
	eps?: number;
	/** Decoupled. Default 0.01. */
	weightDecay?: number;
}

/** The hyper vector of `adamw` for step t = 1, 2, …: lr, β1, β2, eps, decay, 1 − β1ᵗ, 1 − β2ᵗ, and 1 for the gradient's scale. */
export function adamwHyper(step: number, lr: number, settings: AdamWSettings = {}): Float32Array {
	const { beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = 0.01 } = settings;
	checkStep("adamw", step, lr);
	return Float32Array.of(lr, beta1, beta2, eps, weightDecay, 1 - beta1 ** step, 1 - beta2 ** step, 1);
}

export interface SgdSettings {
	/** Default 0. */
	momentum?: number;
	/** Added to the gradient. Default 0. */
	weightDecay?: number;
}

/** The hyper vector of `sgd` for step t = 1, 2, …: the first step starts the momentum with the gradient itself, as PyTorch does. */
export function sgdHyper(step: number, lr: number, settings: SgdSettings = {}): Float32Array {
	const { momentum = 0, weightDecay = 0 } = settings;
	checkStep("sgd", step, lr);
	return Float32Array.of(lr, momentum, weightDecay, 1, step === 1 ? 1 : 0, 0, 0, 0);
}

function checkStep(op: string, step: number, lr: number): void {
	if (!Number.isSafeInteger(step) || step < 1) throw new ArgumentError(`${op}: steps are counted 1, 2, …, not ${step}`);
	if (!Number.isFinite(lr)) throw new ArgumentError(`${op}: the learning rate must be a finite number, not ${lr}`);
}
