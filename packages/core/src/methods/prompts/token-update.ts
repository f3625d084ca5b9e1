// AdamW on the learnable vectors: all of them, or only the classes that a step has seen.
import type { InputData } from "../../compile/program.js";
import type { Device } from "../../device/device.js";
import type { Tensor } from "../../device/tensor.js";
import { ArgumentError } from "../../errors.js";
import type { Graph, Value } from "../../graph/graph.js";
import { add, mul, select } from "../../ops/elementwise.js";
import { gather, scatterAdd } from "../../ops/embedding.js";
import { type AdamWSettings, adamwHyper, adamwOp, HYPER } from "../../ops/optimizer.js";
import { concat, reshape, slice } from "../../ops/shape.js";
import { clipByGlobalNorm } from "../../optimize/training.js";

/** Index of the gradient's factor among AdamW's numbers. */
const GRADIENT_SCALE = 7;

/** Numbers under which AdamW leaves a row exactly as it was. */
const HOLD = [0, 1, 1, 1, 0, 1, 1, 0] as const;

export interface TokenUpdateOptions {
	/** C. */
	readonly classes: number;
	/** How many classes a step may move; it then names them. Null: all, in every step. */
	readonly rows: number | null;
	/** Runs of the program whose gradients are averaged into one step. */
	readonly accumulate: number;
}

/** The vectors that a step may move, in a graph. */
export interface MovableTokens {
	/** [rows, K, M, d] */
	readonly tokens: Value;
	/** Their classes, i32 [rows]; null where they are all there are. */
	readonly rows: Value | null;
}

/** f32 master vectors [C, K, M, d] with AdamW's moments, and, where steps take several runs, the gradient so far. */
export class TokenState implements Disposable {
	private constructor(
		readonly options: TokenUpdateOptions,
		readonly tokens: Tensor,
		readonly moments: readonly [Tensor, Tensor],
		/** [rows, K·M·d]; null where every run is a step. */
		private readonly gradient: Tensor | null,
	) {}

	/** @param tokens [C, K, M, d], copied */
	static async create(
		device: Device,
		shape: readonly [number, number, number, number],
		tokens: ArrayLike<number>,
		options: TokenUpdateOptions,
	): Promise<TokenState> {
		const { classes, rows, accumulate } = options;
		if (shape[0] !== classes || (rows !== null && (rows < 1 || rows > classes)) || accumulate < 1)
			throw new ArgumentError(
				`${rows} rows of ${classes} classes in ${accumulate} runs do not fit tokens of shape [${shape.join(", ")}]`,
			);
		const rowSize = shape[1] * shape[2] * shape[3];
		return new TokenState(
			options,
			await device.tensor(shape, { name: "tokens", data: tokens }),
			[
				await device.tensor(shape, { name: "tokens.exp_avg" }),
				await device.tensor(shape, { name: "tokens.exp_avg_sq" }),
			],
			accumulate > 1 ? await device.tensor([rows ?? classes, rowSize], { name: "tokens.gradient" }) : null,
		);
	}

	/** Whether a step moves only the rows it names. */
	get isSparse(): boolean {
		return this.options.rows !== null;
	}

	/** Rows that a step may move. */
	get rows(): number {
		return this.options.rows ?? this.options.classes;
	}

	/**
	 * The vectors that this step may move. Where steps are sparse, declares the input `rows`, i32 [rows]: their
	 * classes, each once.
	 */
	read(graph: Graph): MovableTokens {
		const all = graph.state(this.tokens);
		if (!this.isSparse) return { tokens: all, rows: null };
		const rows = graph.input("rows", [this.rows], "i32");
		return { tokens: gather(all, rows), rows };
	}

	/**
	 * Writes the update. Declares the inputs `adamw` [rows or 1, HYPER] and `clip` (the largest global norm), and with accumulation
	 * `keep` (0 for a step's first run, 1 after).
	 *
	 * @param moved what `read` gave
	 * @param gradient of this run's mean loss with respect to it
	 * @returns the global norm of the step's gradient before clipping, right in a step's last run
	 */
	update(graph: Graph, moved: MovableTokens, gradient: Value): Value {
		const { accumulate } = this.options;
		const { rows } = this;
		let total = reshape(gradient, [rows, -1]);
		if (this.gradient) {
			const before = select(graph.input("keep"), graph.state(this.gradient), 0);
			total = add(before, mul(total, 1 / accumulate));
			graph.assign(this.gradient, total);
		}
		const { norm, scale } = clipByGlobalNorm([total], graph.input("clip"));
		const hyper = graph.input("adamw", [this.isSparse ? rows : 1, HYPER]);
		const row = (i: number): Value => {
			const numbers = reshape(slice(hyper, 0, i, 1), [HYPER]);
			return concat([slice(numbers, 0, 0, GRADIENT_SCALE), mul(slice(numbers, 0, GRADIENT_SCALE, 1), scale)], 0);
		};
		const state = [this.tokens, ...this.moments];
		if (moved.rows) this.updateRows(graph, moved.rows, total, row);
		else {
			const before = state.map((tensor) => graph.state(tensor));
			const updated = graph.apply(adamwOp, [...before, reshape(total, this.tokens.shape), row(0)]);
			state.forEach((tensor, i) => {
				graph.assign(tensor, updated[i]!);
			});
		}
		return norm;
	}

	private updateRows(graph: Graph, index: Value, gradient: Value, hyper: (row: number) => Value): void {
		const { classes } = this.options;
		const { rows } = this;
		const size = gradient.shape[1]!;
		const state = [this.tokens, ...this.moments];
		const before = state.map((tensor) => reshape(gather(graph.state(tensor), index), [rows, size]));
		const updated = Array.from({ length: rows }, (_, i) =>
			graph.apply(adamwOp, [
				...before.map((value) => reshape(slice(value, 0, i, 1), [size])),
				reshape(slice(gradient, 0, i, 1), [size]),
				hyper(i),
			]),
		);
		const isMoved = reshape(scatterAdd(index, graph.constant(new Float64Array(rows).fill(1), [rows, 1]), classes), [
			classes,
			1,
		]);
		state.forEach((tensor, i) => {
			const after = concat(
				updated.map((values) => reshape(values[i]!, [1, size])),
				0,
			);
			const old = reshape(graph.state(tensor), [classes, size]);
			graph.assign(tensor, reshape(select(isMoved, scatterAdd(index, after, classes), old), tensor.shape));
		});
	}

	/**
	 * The inputs of one run.
	 *
	 * @param steps the step (from 1) that each row takes with this run; null where the row stays as it is
	 * @param run 0 … accumulate − 1
	 */
	inputs(
		steps: readonly (number | null)[],
		run: number,
		settings: AdamWSettings & { lr: number; clip: number },
	): Record<string, InputData> {
		const isLast = run === this.options.accumulate - 1;
		const data = new Float32Array(steps.length * HYPER);
		steps.forEach((step, i) => {
			data.set(isLast && step !== null ? adamwHyper(step, settings.lr, settings) : HOLD, i * HYPER);
		});
		return { adamw: data, clip: settings.clip, ...(this.gradient && { keep: run === 0 ? 0 : 1 }) };
	}

	dispose(): void {
		for (const tensor of [this.tokens, ...this.moments, this.gradient]) tensor?.dispose();
	}

	[Symbol.dispose](): void {
		this.dispose();
	}
}
