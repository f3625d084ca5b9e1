// What a method trains, as state on a device, with AdamW's moments and, where steps take several runs, the gradients so far.
import {
	adamwHyper,
	adamwOp,
	add,
	clipByGlobalNorm,
	concat,
	type Device,
	type Graph,
	HYPER,
	type InputData,
	mul,
	reshape,
	type Shape,
	select,
	slice,
	type Tensor,
	type Value,
} from "@dreamdist/core";

/** One tensor that is trained. */
export interface PartToTrain {
	/** As checkpoints call it. */
	readonly name: string;
	readonly shape: Shape;
	initial(): Promise<ArrayLike<number>>;
}

export interface OptimizerSettings {
	readonly weightDecay: number;
	readonly beta1: number;
	readonly beta2: number;
	readonly eps: number;
	readonly maxGradientNorm: number | null;
}

interface Part {
	readonly tensor: Tensor;
	readonly moments: readonly [Tensor, Tensor];
	/** Null where every run is a step. */
	readonly gradient: Tensor | null;
}

/** Index of the gradient's factor among AdamW's numbers. */
const GRADIENT_SCALE = 7;
/** Numbers under which AdamW leaves a tensor exactly as it was. */
const HOLD = [0, 1, 1, 1, 0, 1, 1, 0] as const;
/** A norm that nothing reaches. */
const NO_CLIP = 3e38;

export class TrainedParts implements Disposable {
	private constructor(
		private readonly parts: ReadonlyMap<string, Part>,
		private readonly accumulate: number,
	) {}

	/** @param accumulate runs of the program whose gradients are averaged into one step */
	static async create(device: Device, toTrain: readonly PartToTrain[], accumulate: number): Promise<TrainedParts> {
		const parts = new Map<string, Part>();
		try {
			for (const { name, shape, initial } of toTrain) {
				const make = (suffix: string) => device.tensor(shape, { name: `${name}${suffix}` });
				parts.set(name, {
					tensor: await device.tensor(shape, { name, data: await initial() }),
					moments: [await make(".exp_avg"), await make(".exp_avg_sq")],
					gradient: accumulate > 1 ? await make(".gradient") : null,
				});
			}
		} catch (error) {
			for (const part of parts.values()) release(part);
			throw error;
		}
		return new TrainedParts(parts, accumulate);
	}

	get tensors(): ReadonlyMap<string, Tensor> {
		return new Map([...this.parts].map(([name, { tensor }]) => [name, tensor]));
	}

	/** Numbers in all of them. */
	get parameters(): number {
		return [...this.parts.values()].reduce((sum, { tensor }) => sum + tensor.size, 0);
	}

	/** The parts as a graph sees them, in their order. */
	values(graph: Graph): Value[] {
		return [...this.parts.values()].map(({ tensor }) => graph.state(tensor));
	}

	/**
	 * Writes the update. Declares the inputs `adamw` [HYPER] and `clip`, and with accumulation `keep` (0 for a step's first run, 1 after).
	 *
	 * @param gradients of this run's loss, in the order of `values`
	 * @returns the global norm of the step's gradient before clipping, right in a step's last run
	 */
	update(graph: Graph, gradients: readonly Value[]): Value {
		const { accumulate } = this;
		const keep = accumulate > 1 ? graph.input("keep") : null;
		const all = [...this.parts.values()];
		const totals = all.map(({ gradient }, i) => {
			if (!gradient || !keep) return gradients[i]!;
			const total = add(select(keep, graph.state(gradient), 0), mul(gradients[i]!, 1 / accumulate));
			graph.assign(gradient, total);
			return total;
		});
		const { norm, scale } = clipByGlobalNorm(totals, graph.input("clip"));
		const numbers = graph.input("adamw", [HYPER]);
		const factor = mul(slice(numbers, 0, GRADIENT_SCALE, 1), scale);
		const hyper = concat([slice(numbers, 0, 0, GRADIENT_SCALE), reshape(factor, [1])], 0);
		all.forEach(({ tensor, moments }, i) => {
			const state = [tensor, ...moments];
			const before = state.map((each) => graph.state(each));
			const updated = graph.named(tensor.name, () => graph.apply(adamwOp, [...before, totals[i]!, hyper]));
			state.forEach((each, k) => {
				graph.assign(each, updated[k]!);
			});
		});
		return norm;
	}

	/**
	 * The inputs of one run.
	 *
	 * @param step counted from 1
	 * @param run 0 … accumulate − 1
	 */
	inputs(step: number, run: number, learningRate: number, settings: OptimizerSettings): Record<string, InputData> {
		const { accumulate } = this;
		const isLast = run === accumulate - 1;
		return {
			adamw: isLast ? adamwHyper(step, learningRate, settings) : Float32Array.from(HOLD),
			clip: settings.maxGradientNorm ?? NO_CLIP,
			...(accumulate > 1 && { keep: run === 0 ? 0 : 1 }),
		};
	}

	/** Everything that a checkpoint holds, by name. */
	get state(): ReadonlyMap<string, Tensor> {
		return new Map(
			[...this.parts.values()].flatMap(({ tensor, moments }) =>
				[tensor, ...moments].map((each) => [each.name, each] as const),
			),
		);
	}

	dispose(): void {
		for (const part of this.parts.values()) release(part);
	}

	[Symbol.dispose](): void {
		this.dispose();
	}
}

function release({ tensor, moments, gradient }: Part): void {
	for (const each of [tensor, ...moments, gradient]) each?.dispose();
}
