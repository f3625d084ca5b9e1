// Matrix products with their fused epilogues.

import type { Lowering, PitchedOperand } from "../compile/lowering.js";
import { ShapeError } from "../graph/errors.js";
import { frozenOf, type Node, type Value } from "../graph/graph.js";
import { formatType, sameShape, sizeOf, type Type } from "../graph/types.js";
import { activationGrad, activationReference, add, gelu, mul } from "./elementwise.js";
import { sum } from "./reduce.js";
import { concat, reshape, slice } from "./shape.js";
import { type Contents, defineOp, type GradientContext, type Sample } from "./table.js";

/** Activations that a product's epilogue can apply. `geglu` halves the columns: first half · gelu(second half). */
export type Activation = "none" | "gelu" | "silu" | "geglu" | "quickGelu" | "relu";

/** Codes of docs/kernels.md. */
export const ACTIVATION_CODES: Record<Activation, number> = {
	none: 0,
	gelu: 1,
	silu: 2,
	geglu: 3,
	quickGelu: 4,
	relu: 5,
};

interface MatmulAttributes {
	transposeA: boolean;
	transposeB: boolean;
	activation: Activation;
	alpha: number;
}

export interface MatmulOptions {
	/** Use a's last two axes swapped. */
	transposeA?: boolean;
	/** Use b's last two axes swapped, as a linear layer's weight [out, in] wants. */
	transposeB?: boolean;
	/** [N], added to every row before the activation. */
	bias?: Value | null;
	activation?: Activation;
	/** Added after the activation; the result's shape. */
	residual?: Value | null;
	/** Factor of the product. Default 1. */
	alpha?: number;
}

/** The kernel's view of a product: batches of [M, K] × [K, N]. */
export interface MatmulDims {
	batch: number;
	m: number;
	n: number;
	k: number;
	/** Whether a's (b's) leading axes are batches; a plain matrix serves every batch. */
	batchedA: boolean;
	batchedB: boolean;
	/** Leading axes of the result. */
	lead: readonly number[];
}

/** Works out the product's dimensions; throws naming both types. */
export function matmulDims(a: Type, b: Type, transposeA: boolean, transposeB: boolean): MatmulDims {
	const fail = (why: string): never => {
		throw new ShapeError(
			`matmul: ${formatType(a)}${transposeA ? "ᵀ" : ""} × ${formatType(b)}${transposeB ? "ᵀ" : ""}: ${why}`,
		);
	};
	if (a.shape.length < 2 || b.shape.length < 2) fail("both need at least two axes");
	if (a.dtype === "i32" || b.dtype === "i32") fail("i32 has no arithmetic; cast it to f32 first");
	const [ar, ac] = a.shape.slice(-2) as [number, number];
	const [br, bc] = b.shape.slice(-2) as [number, number];
	const [m, k] = transposeA ? [ac, ar] : [ar, ac];
	const [k2, n] = transposeB ? [bc, br] : [br, bc];
	if (k !== k2) fail(`the inner dimensions ${k} and ${k2} differ`);
	const leadA = a.shape.slice(0, -2);
	const leadB = b.shape.slice(0, -2);
	if (leadA.length > 0 && leadB.length > 0 && !sameShape(leadA, leadB)) fail("the batch axes differ");
	if (leadB.length === 0 && leadA.length > 0 && !transposeA)
		return { batch: 1, m: sizeOf(leadA) * m, n, k, batchedA: false, batchedB: false, lead: leadA };
	const lead = leadA.length > 0 ? leadA : leadB;
	return { batch: sizeOf(lead), m, n, k, batchedA: leadA.length > 0, batchedB: leadB.length > 0, lead };
}

/** Activation over U [rows, columns] in float64. */
export function applyActivation(u: Contents, columns: number, activation: Activation): Contents {
	if (activation !== "geglu") return u.map(activationReference[activation]);
	const half = columns / 2;
	const out = new Float64Array(u.length / 2);
	for (let r = 0; r < u.length / Math.max(1, columns); r++)
		for (let j = 0; j < half; j++)
			out[r * half + j] = u[r * columns + j]! * activationReference.gelu(u[r * columns + half + j]!);
	return out;
}

/** Gradient through a fused activation: dy · act′(U), U [..., columns]. */
export function activationBackward(dy: Value, preact: () => Value, activation: Activation): Value {
	if (activation === "none") return dy;
	const u = preact();
	if (activation !== "geglu") return activationGrad(activation, dy, u);
	const half = u.shape[u.rank - 1]! / 2;
	const value = slice(u, -1, 0, half);
	const gate = slice(u, -1, half, half);
	return concat([mul(dy, gelu(gate)), activationGrad("gelu", mul(dy, value), gate)], -1);
}

const matmulOp = defineOp({
	name: "matmul",
	infer: (inputs, attributes) => {
		const [a, b, bias, residual] = inputs;
		const { transposeA, transposeB, activation } = attributes as unknown as MatmulAttributes;
		const dims = matmulDims(a!, b!, transposeA, transposeB);
		const rows = transposeA ? a!.shape.at(-1)! : a!.shape.at(-2)!;
		if (bias && !sameShape(bias.shape, [dims.n]))
			throw new ShapeError(`matmul: the bias ${formatType(bias)} must have the shape [${dims.n}]`);
		if (activation === "geglu" && dims.n % 2 !== 0)
			throw new ShapeError(`matmul: geglu needs an even number of columns, not ${dims.n}`);
		const shape = [...dims.lead, rows, activation === "geglu" ? dims.n / 2 : dims.n];
		if (residual && !sameShape(residual.shape, shape))
			throw new ShapeError(
				`matmul: the residual ${formatType(residual)} must have the result's shape [${shape.join(", ")}]`,
			);
		return [
			{ shape, dtype: a!.dtype },
			{ shape: [...dims.lead, rows, dims.n], dtype: a!.dtype },
		];
	},
	evaluate: (inputs, attributes, types) => {
		const [a, b, bias, residual] = inputs as [Contents, Contents, Contents | null, Contents | null];
		const { transposeA, transposeB, activation, alpha } = attributes as unknown as MatmulAttributes;
		const { batch, m, n, k, batchedA, batchedB } = matmulDims(
			types.inputs[0]!,
			types.inputs[1]!,
			transposeA,
			transposeB,
		);
		const u = new Float64Array(batch * m * n);
		const column = new Float64Array(k);
		for (let s = 0; s < batch; s++) {
			const a0 = batchedA ? s * m * k : 0;
			const b0 = batchedB ? s * k * n : 0;
			for (let j = 0; j < n; j++) {
				for (let l = 0; l < k; l++) column[l] = b[b0 + (transposeB ? j * k + l : l * n + j)]!;
				for (let i = 0; i < m; i++) {
					let total = 0;
					for (let l = 0; l < k; l++) total += a[a0 + (transposeA ? l * m + i : i * k + l)]! * column[l]!;
					u[(s * m + i) * n + j] = alpha * total + (bias ? bias[j]! : 0);
				}
			}
		}
		const y = applyActivation(u, n, activation);
		if (residual) for (let i = 0; i < y.length; i++) y[i]! += residual[i]!;
		return [y, u];
	},
	differentiate: (c) => {
		const { transposeA, transposeB, activation, alpha } = c.attributes as unknown as MatmulAttributes;
		const dy = c.grad(0);
		let du = dy && activationBackward(dy, () => c.output(1), activation);
		const direct = c.grad(1);
		if (direct) du = du ? add(du, direct) : direct;
		if (!du) return [];
		const bias =
			c.hasInput(2) && c.needs(2)
				? sum(
						du,
						Array.from({ length: du.rank - 1 }, (_, i) => i),
					)
				: null;
		const residual = c.hasInput(3) && c.needs(3) ? dy : null;
		return [
			c.needs(0) ? gradA(c, du, transposeA, transposeB, alpha) : null,
			c.needs(1) ? gradB(c, du, transposeA, transposeB, alpha) : null,
			bias,
			residual,
		];
	},
	lower: lowerMatmul,
	residualInput: 3,
	samples: (random): Sample[] => {
		const f32 = (...shape: number[]): Type => ({ shape, dtype: "f32" });
		const [m, n, k] = [random.integer(1, 40), random.integer(1, 70), random.integer(1, 50)];
		const plain = { transposeA: false, transposeB: false, activation: "none", alpha: 1 };
		return [
			{ inputs: [f32(m, k), f32(k, n), null, null], attributes: plain },
			{ inputs: [f32(k, m), f32(k, n), null, null], attributes: { ...plain, transposeA: true, alpha: 0.25 } },
			{ inputs: [f32(m, k), f32(n, k), f32(n), f32(m, n)], attributes: { ...plain, transposeB: true } },
			{
				inputs: [f32(2, 3, k), f32(n, k), f32(n), null],
				attributes: { ...plain, transposeB: true, activation: "gelu" },
			},
			{
				inputs: [f32(2, 3, k), f32(2 * n, k), f32(2 * n), f32(2, 3, n)],
				attributes: { ...plain, transposeB: true, activation: "geglu" },
			},
			{ inputs: [f32(3, m, k), f32(3, k, n), null, null], attributes: plain },
			{
				inputs: [f32(3, k, m), f32(3, n, k), null, null],
				attributes: { ...plain, transposeA: true, transposeB: true },
			},
			{ inputs: [f32(m, k), f32(2, k, n), null, null], attributes: plain },
			{ inputs: [f32(1, 1), f32(1, 1), f32(1), null], attributes: { ...plain, activation: "silu" } },
			{ inputs: [f32(m, k), f32(k, n), f32(n), null], attributes: { ...plain, activation: "quickGelu" } },
			{ inputs: [f32(m, k), f32(k, n), null, null], attributes: { ...plain, activation: "relu" } },
			{ inputs: [f32(150, 70), f32(70, 130), null, null], attributes: plain },
		];
	},
});

interface Side {
	operand: PitchedOperand;
	transposed: boolean;
}

/** A matrix operand in place if one of its last two axes is contiguous, with the transposition that reads it so. */
function side(lowering: Lowering, value: Value, batchAxes: number, transposed: boolean, half: boolean): Side {
	const view = lowering.strided(value);
	const [rowStride, columnStride] = view.strides.slice(-2) as [number, number];
	const flipped = columnStride !== 1 && rowStride === 1 && view.shape.at(-1) !== 1 && (half || view.dtype === "f32");
	if (flipped && batchAxes === view.shape.length - 2) {
		const swap = (list: readonly number[]) => [...list.slice(0, -2), list.at(-1)!, list.at(-2)!];
		const operand = lowering.pitched({ ...view, shape: swap(view.shape), strides: swap(view.strides) }, batchAxes);
		if (operand) return { operand, transposed: !transposed };
	}
	return { operand: lowering.rows(value, { batchAxes, half }), transposed };
}

function lowerMatmul(lowering: Lowering, node: Node): void {
	const [a, b, bias, residual] = node.inputs as readonly [Value, Value, Value | null, Value | null];
	const { transposeA, transposeB, activation, alpha } = node.attributes as unknown as MatmulAttributes;
	const { batch, m, n, k, batchedA, batchedB } = matmulDims(a, b, transposeA, transposeB);
	const half = lowering.halves(a, b) !== null;
	const left = side(lowering, a, batchedA ? a.rank - 2 : 0, transposeA, half);
	// A frozen matrix is read from its packed copy, in either direction; weights of geglu layers are interleaved there.
	const interleave = b.rank === 2 && frozenOf(b) ? lowering.interleaved(b) : false;
	const [rows, columns] = b.shape.slice(-2) as [number, number];
	const tf32 = !half && lowering.tf32;
	const packed =
		b.rank === 2 ? lowering.packed(b, "matmul", [rows, columns, interleave ? 1 : 0], tf32 ? "f32" : undefined) : null;
	const right = packed
		? { operand: { ...packed, pitch: columns, batchStride: 0 }, transposed: transposeB }
		: side(lowering, b, batchedB ? b.rank - 2 : 0, transposeB, half);
	const [y, u] = node.outputs as readonly [Value, Value];
	const preact = half ? lowering.resultIfUsed(u) : lowering.outputIfUsed(u);
	const columnsOut = activation === "geglu" ? n / 2 : n;
	lowering.call(tf32 ? "matmul_tf32" : "matmul", node, {
		operands: [
			left.operand,
			right.operand,
			bias && lowering.contiguous(bias),
			residual && (half ? lowering.activation(residual) : lowering.contiguous(residual)),
			half ? lowering.result(y) : lowering.output(y),
			preact,
		],
		ints: [
			batch,
			m,
			n,
			k,
			left.transposed ? 1 : 0,
			right.transposed ? 1 : 0,
			left.operand.pitch,
			right.operand.pitch,
			columnsOut,
			batchedA ? left.operand.batchStride : 0,
			batchedB ? right.operand.batchStride : 0,
			m * columnsOut,
			ACTIVATION_CODES[activation],
			packed ? (interleave ? 2 : 1) : 0,
			columnsOut,
			m * columnsOut,
		],
		floats: [alpha],
	});
}

function product(a: Value, b: Value, transposeA: boolean, transposeB: boolean, alpha: number): Value {
	return a.graph.apply(matmulOp, [a, b, null, null], { transposeA, transposeB, activation: "none", alpha })[0]!;
}

function gradA(c: GradientContext, du: Value, transposeA: boolean, transposeB: boolean, alpha: number): Value {
	const b = c.input(1);
	const type = c.inputType(0);
	// dA = dU·Bᵀ, dAᵀ = B·dUᵀ. A frozen b is packed once and read in either direction.
	let da = transposeA ? product(b, du, transposeB, true, alpha) : product(du, b, false, !transposeB, alpha);
	if (da.rank > type.shape.length)
		da = sum(
			da,
			Array.from({ length: da.rank - 2 }, (_, i) => i),
		);
	return reshape(da, type.shape);
}

function gradB(c: GradientContext, du: Value, transposeA: boolean, transposeB: boolean, alpha: number): Value {
	const a = c.input(0);
	const type = c.inputType(1);
	let [left, right] = [a, du];
	if (type.shape.length === 2 && a.rank > 2 && !transposeA) {
		left = reshape(a, [-1, a.shape.at(-1)!]);
		right = reshape(du, [-1, du.shape.at(-1)!]);
	}
	// dB = Aᵀ·dU, dBᵀ = dUᵀ·A.
	let db = transposeB ? product(right, left, true, transposeA, alpha) : product(left, right, !transposeA, false, alpha);
	if (db.rank > type.shape.length)
		db = sum(
			db,
			Array.from({ length: db.rank - 2 }, (_, i) => i),
		);
	return db;
}

/**
 * act(alpha · a·b + bias) + residual. a [..., M, K], b [..., K, N]; batch axes are equal, or one of the two is a plain matrix that serves
 * every batch.
 */
export function matmul(a: Value, b: Value, options: MatmulOptions = {}): Value {
	const attributes = {
		transposeA: options.transposeA ?? false,
		transposeB: options.transposeB ?? false,
		activation: options.activation ?? "none",
		alpha: options.alpha ?? 1,
	};
	return a.graph.apply(matmulOp, [a, b, options.bias ?? null, options.residual ?? null], attributes)[0]!;
}

/** A linear layer: act(x·Wᵀ + bias) + residual, x [..., in], weight [out, in] as checkpoints store it. */
export function linear(x: Value, weight: Value, options: Omit<MatmulOptions, "transposeA" | "transposeB"> = {}): Value {
	if (x.rank === 1) return reshape(linear(reshape(x, [1, x.shape[0]!]), weight, options), [-1]);
	return matmul(x, weight, { ...options, transposeB: true });
}
