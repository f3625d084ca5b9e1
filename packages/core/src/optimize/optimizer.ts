// Optimisers for users: they keep the moments, write the updates into a graph, and give each step's numbers.
import type { Tensor } from "../device/tensor.js";
import { ArgumentError } from "../errors.js";
import type { Graph, Value } from "../graph/graph.js";
import { mul } from "../ops/elementwise.js";
import { type AdamWSettings, adamwHyper, adamwOp, HYPER, type SgdSettings, sgdHyper, sgdOp } from "../ops/optimizer.js";
import { concat, reshape, slice } from "../ops/shape.js";
import type { Attributes, Op } from "../ops/table.js";

export interface OptimizedParameter {
	/** f32 state. */
	readonly tensor: Tensor;
	/** Factor of the learning rate. Default 1. */
	readonly lr?: number;
	/** Factor of the weight decay. Default 1. */
	readonly weightDecay?: number;
}

interface Rule {
	readonly op: Op;
	readonly attributes: Attributes;
	/** Suffixes of the moments' names: PyTorch's. */
	readonly moments: readonly string[];
	/** Where the gradient's scale stands in the hyper vector. */
	readonly gradScale: number;
	hyper(step: number, lr: number, decayFactor: number): Float32Array;
}

export interface UpdateOptions {
	/** Scalar that every gradient is multiplied by, as `clipByGlobalNorm` gives it. */
	gradScale?: Value;
}

/** Parameters with their moments. Made by `adamw` and `sgd`. */
export class Optimizer implements Disposable {
	/** Distinct pairs of factors; each has one row of the input. */
	private readonly groups: { readonly lr: number; readonly weightDecay: number }[] = [];
	private readonly groupOf: number[];

	constructor(
		readonly parameters: readonly OptimizedParameter[],
		private readonly rule: Rule,
		/** Per parameter; what a checkpoint holds besides the parameters. */
		readonly moments: readonly (readonly Tensor[])[],
		/** Name of the program input with the step's numbers. */
		readonly inputName: string,
	) {
		this.groupOf = parameters.map(({ lr = 1, weightDecay = 1 }) => {
			const known = this.groups.findIndex((group) => group.lr === lr && group.weightDecay === weightDecay);
			return known >= 0 ? known : this.groups.push({ lr, weightDecay }) - 1;
		});
	}

	/**
	 * Writes the update of every parameter and its moments into the graph, in place. The graph gets one more input, which
	 * `inputs` fills at every run.
	 *
	 * @param gradients One per parameter, in their order and of their shape.
	 * @returns The new parameter values.
	 */
	update(graph: Graph, gradients: readonly Value[], options: UpdateOptions = {}): Value[] {
		if (gradients.length !== this.parameters.length)
			throw new ArgumentError(
				`${this.rule.op.name}: ${gradients.length} gradients were given for ${this.parameters.length} parameters`,
			);
		const input = graph.input(this.inputName, [this.groups.length, HYPER]);
		const hypers = this.groups.map((_, group) => this.scaled(slice(input, 0, group, 1), options.gradScale));
		return this.parameters.map(({ tensor }, i) =>
			graph.named(tensor.name, () => {
				const state = [tensor, ...this.moments[i]!];
				const updated = graph.apply(
					this.rule.op,
					[...state.map((each) => graph.state(each)), gradients[i]!, hypers[this.groupOf[i]!]!],
					this.rule.attributes,
				);
				state.forEach((each, k) => {
					graph.assign(each, updated[k]!);
				});
				return updated[0]!;
			}),
		);
	}

	private scaled(row: Value, gradScale: Value | undefined): Value {
		const hyper = reshape(row, [HYPER]);
		if (!gradScale) return hyper;
		const at = this.rule.gradScale;
		const scale = mul(slice(hyper, 0, at, 1), gradScale);
		const after = HYPER - at - 1;
		return concat([slice(hyper, 0, 0, at), scale, ...(after > 0 ? [slice(hyper, 0, at + 1, after)] : [])], 0);
	}

	/**
	 * The program inputs of one step.
	 *
	 * @param step Counted from 1; Adam's corrections depend on it.
	 * @param lr Learning rate of this step, before the parameters' factors.
	 */
	inputs(step: number, lr: number): Record<string, Float32Array> {
		const data = new Float32Array(this.groups.length * HYPER);
		this.groups.forEach((group, i) => {
			data.set(this.rule.hyper(step, lr * group.lr, group.weightDecay), i * HYPER);
		});
		return { [this.inputName]: data };
	}

	/** Lets the moments go; the parameters are the caller's. */
	dispose(): void {
		for (const tensor of this.moments.flat()) tensor.dispose();
	}

	[Symbol.dispose](): void {
		this.dispose();
	}
}

async function create(parameters: readonly OptimizedParameter[], rule: Rule, inputName: string): Promise<Optimizer> {
	const names = new Set(parameters.map(({ tensor }) => tensor.name));
	if (names.size !== parameters.length)
		throw new ArgumentError(`${rule.op.name}: two of the parameters have the same name; each needs its own`);
	const moments: Tensor[][] = [];
	for (const { tensor } of parameters) {
		if (tensor.dtype !== "f32")
			throw new ArgumentError(
				`${rule.op.name}: parameter "${tensor.name}" is ${tensor.dtype}; trained state must be f32`,
			);
		const own: Tensor[] = [];
		for (const suffix of rule.moments)
			own.push(await tensor.device.tensor(tensor.shape, { name: `${tensor.name}.${suffix}` }));
		moments.push(own);
	}
	return new Optimizer(parameters, rule, moments, inputName);
}

export interface OptimizerOptions {
	/** Name of the program input with the step's numbers, if a program has several optimisers. Default "adamw" or "sgd". */
	inputName?: string;
}

/**
 * AdamW (Loshchilov & Hutter 2019), as PyTorch computes it.
 *
 * ```ts
 * const optimizer = await adamw([{ tensor: weight }, { tensor: bias, weightDecay: 0 }]);
 * const program = await device.compile((graph) => {
 *   const parameters = [graph.state(weight), graph.state(bias)];
 *   const loss = …;
 *   const grads = gradients(loss, parameters);
 *   const { norm, scale } = clipByGlobalNorm(grads, 1);
 *   optimizer.update(graph, grads, { gradScale: scale });
 *   return { loss, norm };
 * });
 * for (let step = 1; step <= 1000; step++) await program.run(optimizer.inputs(step, 1e-3));
 * ```
 */
export function adamw(
	parameters: readonly OptimizedParameter[],
	settings: AdamWSettings & OptimizerOptions = {},
): Promise<Optimizer> {
	const { weightDecay = 0.01, inputName = "adamw" } = settings;
	const rule: Rule = {
		op: adamwOp,
		attributes: {},
		moments: ["exp_avg", "exp_avg_sq"],
		gradScale: 7,
		hyper: (step, lr, factor) => adamwHyper(step, lr, { ...settings, weightDecay: weightDecay * factor }),
	};
	return create(parameters, rule, inputName);
}

/** Stochastic gradient descent with (Nesterov) momentum, as PyTorch computes it; used like `adamw`. */
export function sgd(
	parameters: readonly OptimizedParameter[],
	settings: SgdSettings & OptimizerOptions & { nesterov?: boolean } = {},
): Promise<Optimizer> {
	const { weightDecay = 0, nesterov = false, inputName = "sgd" } = settings;
	const rule: Rule = {
		op: sgdOp,
		attributes: { nesterov },
		moments: ["momentum_buffer"],
		gradScale: 3,
		hyper: (step, lr, factor) => sgdHyper(step, lr, { ...settings, weightDecay: weightDecay * factor }),
	};
	return create(parameters, rule, inputName);
}
