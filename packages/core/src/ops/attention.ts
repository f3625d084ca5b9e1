// Scaled dot-product attention that never writes its score matrix.
import { ShapeError } from "../graph/errors.js";
import type { Value } from "../graph/graph.js";
import { formatType, type Type } from "../graph/types.js";
import { type Contents, defineOp, type Sample } from "./table.js";

export interface AttentionOptions {
	heads: number;
	/** Key j is seen by query i only when j ≤ i. Default false. */
	causal?: boolean;
	/** Factor of q·k. Default 1/√D. */
	scale?: number;
}

interface AttentionAttributes {
	readonly heads: number;
	readonly causal: boolean;
	readonly scale: number;
}

interface AttentionDims {
	readonly batch: number;
	readonly heads: number;
	readonly queries: number;
	readonly keys: number;
	/** Per head. */
	readonly depth: number;
}

/** The widest head the kernels take. */
const MAX_DEPTH = 512;
/** The widest whose gradient has kernels for 16-bit operands; wider ones are computed in f32. */
const MAX_HALF_GRADIENT_DEPTH = 160;

function attentionDims(q: Type, k: Type, v: Type, heads: number): AttentionDims {
	const fail = (why: string): never => {
		throw new ShapeError(
			`attention: q ${formatType(q)}, k ${formatType(k)}, v ${formatType(v)}, ${heads} heads: ${why}`,
		);
	};
	if ([q, k, v].some((t) => t.shape.length !== 3)) fail("each must be [B, L, heads·D]");
	if ([q, k, v].some((t) => t.dtype === "i32")) fail("i32 has no arithmetic");
	if (!Number.isInteger(heads) || heads < 1) fail("the number of heads must be a whole number ≥ 1");
	const [batch, queries, width] = q.shape as [number, number, number];
	const keys = k.shape[1]!;
	if (k.shape[0] !== batch || v.shape[0] !== batch) fail("the batch sizes differ");
	if (v.shape[1] !== keys) fail("k and v must have the same length");
	if (k.shape[2] !== width || v.shape[2] !== width) fail("the last axes differ");
	if (keys === 0) fail("there is no key to attend to");
	if (width === 0 || width % heads !== 0) fail(`${width} channels can't be divided among the heads`);
	if (width / heads > MAX_DEPTH) fail(`a head may be at most ${MAX_DEPTH} wide`);
	return { batch, heads, queries, keys, depth: width / heads };
}

/** Visits each query of each head: its rows' offsets, its number of visible keys, and the key's row offset as a function. */
function forEachQuery(
	d: AttentionDims,
	causal: boolean,
	visit: (query: number, key: (j: number) => number, visible: number, row: number) => void,
): void {
	const width = d.heads * d.depth;
	for (let b = 0; b < d.batch; b++)
		for (let h = 0; h < d.heads; h++) {
			const key = (j: number) => (b * d.keys + j) * width + h * d.depth;
			for (let i = 0; i < d.queries; i++) {
				const visible = causal ? Math.min(d.keys, i + 1) : d.keys;
				visit((b * d.queries + i) * width + h * d.depth, key, visible, (b * d.heads + h) * d.queries + i);
			}
		}
}

function dot(a: Contents, at: number, b: Contents, bt: number, n: number): number {
	let total = 0;
	for (let l = 0; l < n; l++) total += a[at + l]! * b[bt + l]!;
	return total;
}

function axpy(factor: number, x: Contents, at: number, y: Contents, yt: number, n: number): void {
	for (let l = 0; l < n; l++) y[yt + l]! += factor * x[at + l]!;
}

const attentionGradOp = defineOp({
	name: "attentionGrad",
	infer: (inputs) => [0, 1, 2].map((i) => ({ shape: inputs[i]!.shape, dtype: inputs[i]!.dtype })),
	evaluate: (inputs, attributes, types) => {
		const [q, k, v, o, lse, dO] = inputs as readonly [Contents, Contents, Contents, Contents, Contents, Contents];
		const { heads, causal, scale } = attributes as unknown as AttentionAttributes;
		const d = attentionDims(types.inputs[0]!, types.inputs[1]!, types.inputs[2]!, heads);
		const dq = new Float64Array(q.length);
		const dk = new Float64Array(k.length);
		const dv = new Float64Array(v.length);
		forEachQuery(d, causal, (query, key, visible, row) => {
			const delta = dot(dO, query, o, query, d.depth);
			for (let j = 0; j < visible; j++) {
				const at = key(j);
				const p = Math.exp(scale * dot(q, query, k, at, d.depth) - lse[row]!);
				const ds = scale * p * (dot(dO, query, v, at, d.depth) - delta);
				axpy(ds, k, at, dq, query, d.depth);
				axpy(ds, q, query, dk, at, d.depth);
				axpy(p, dO, query, dv, at, d.depth);
			}
		});
		return [dq, dk, dv];
	},
	lower: (lowering, node) => {
		const [q, k, v, o, lse, dO] = node.inputs as readonly [Value, Value, Value, Value, Value, Value];
		const { heads, causal, scale } = node.attributes as unknown as AttentionAttributes;
		const d = attentionDims(q, k, v, heads);
		const half = d.depth <= MAX_HALF_GRADIENT_DEPTH && lowering.halves(q, k, v, o, dO, ...node.outputs) !== null;
		const rows = (value: Value) => lowering.rows(value, { batchAxes: 1, half });
		const [rq, rk, rv, ro, rdo] = [rows(q), rows(k), rows(v), rows(o), rows(dO)];
		const [dq, dk, dv] = node.outputs.map((value) =>
			half ? lowering.resultIfUsed(value) : lowering.outputIfUsed(value),
		);
		lowering.call("attention_grad", node, {
			operands: [rq, rk, rv, ro, lowering.contiguous(lse), rdo, dq!, dk!, dv!],
			ints: [
				...[d.batch, heads, d.queries, d.keys, d.depth, causal ? 1 : 0],
				...[rq.pitch, rk.pitch, rv.pitch, ro.pitch],
				...[rq.batchStride, rk.batchStride, rv.batchStride, ro.batchStride],
				...[rdo.pitch, rdo.batchStride],
			],
			floats: [scale],
		});
	},
});

const attentionOp = defineOp({
	name: "attention",
	auxiliaryOutputs: [1],
	infer: (inputs, attributes) => {
		const [q, k, v] = inputs as readonly [Type, Type, Type];
		const { heads, scale } = attributes as unknown as AttentionAttributes;
		const d = attentionDims(q, k, v, heads);
		if (!Number.isFinite(scale)) throw new ShapeError(`attention: the scale must be a finite number, not ${scale}`);
		return [
			{ shape: q.shape, dtype: q.dtype },
			{ shape: [d.batch, heads, d.queries], dtype: "f32" },
		];
	},
	evaluate: (inputs, attributes, types) => {
		const [q, k, v] = inputs as readonly [Contents, Contents, Contents];
		const { heads, causal, scale } = attributes as unknown as AttentionAttributes;
		const d = attentionDims(types.inputs[0]!, types.inputs[1]!, types.inputs[2]!, heads);
		const o = new Float64Array(q.length);
		const lse = new Float64Array(d.batch * heads * d.queries);
		const scores = new Float64Array(d.keys);
		forEachQuery(d, causal, (query, key, visible, row) => {
			let highest = Number.NEGATIVE_INFINITY;
			for (let j = 0; j < visible; j++) {
				scores[j] = scale * dot(q, query, k, key(j), d.depth);
				highest = Math.max(highest, scores[j]!);
			}
			let total = 0;
			for (let j = 0; j < visible; j++) total += Math.exp(scores[j]! - highest);
			lse[row] = highest + Math.log(total);
			for (let j = 0; j < visible; j++) axpy(Math.exp(scores[j]! - lse[row]!), v, key(j), o, query, d.depth);
		});
		return [o, lse];
	},
	differentiate: (c) => {
		const dO = c.grad(0);
		if (!dO) return [];
		const inputs = [c.input(0), c.input(1), c.input(2), c.output(0), c.output(1), dO];
		const grads = dO.graph.apply(attentionGradOp, inputs, c.attributes);
		return grads.map((value, i) => (c.needs(i) ? value : null));
	},
	lower: (lowering, node) => {
		const [q, k, v] = node.inputs as readonly [Value, Value, Value];
		const { heads, causal, scale } = node.attributes as unknown as AttentionAttributes;
		const d = attentionDims(q, k, v, heads);
		const [o, lse] = node.outputs as readonly [Value, Value];
		const half = lowering.halves(q, k, v, o) !== null;
		const rows = (value: Value) => lowering.rows(value, { batchAxes: 1, half });
		const [rq, rk, rv] = [rows(q), rows(k), rows(v)];
		const width = heads * d.depth;
		lowering.call("attention", node, {
			operands: [rq, rk, rv, half ? lowering.result(o) : lowering.output(o), lowering.outputIfUsed(lse)],
			ints: [
				...[d.batch, heads, d.queries, d.keys, d.depth, causal ? 1 : 0],
				...[rq.pitch, rk.pitch, rv.pitch, width],
				...[rq.batchStride, rk.batchStride, rv.batchStride, d.queries * width],
			],
			floats: [scale],
		});
	},
	samples: (random): Sample[] => {
		const f32 = (...shape: number[]): Type => ({ shape, dtype: "f32" });
		const sample = (
			batch: number,
			heads: number,
			queries: number,
			keys: number,
			depth: number,
			causal = false,
		): Sample => ({
			inputs: [f32(batch, queries, heads * depth), f32(batch, keys, heads * depth), f32(batch, keys, heads * depth)],
			attributes: { heads, causal, scale: 1 / Math.sqrt(depth) },
		});
		const length = random.integer(2, 60);
		return [
			sample(2, random.integer(1, 3), length, length, random.integer(1, 40)),
			sample(1, random.integer(1, 3), length, length, 16, true),
			// Cross-attention over 77 text positions.
			sample(2, 2, random.integer(1, 70), 77, 64),
			sample(1, 2, 77, 77, 8, true),
			// The autoencoder's one wide head.
			sample(1, 1, random.integer(3, 20), random.integer(3, 20), 512),
			sample(1, 1, 1, 1, 1),
			sample(3, 1, 1, random.integer(2, 140), 7),
			sample(1, 1, 130, 3, 5),
			// Several blocks of queries and keys.
			sample(1, 2, 193, 260, 33),
			sample(1, 1, 150, 150, 40, true),
		];
	},
});

/**
 * softmax(scale · q kᵀ) v, for each head apart. Slices of one fused projection are read in place.
 *
 * @param q [B, Lq, heads·D], head h in columns [h·D, (h+1)·D)
 * @param k [B, Lk, heads·D]
 * @param v [B, Lk, heads·D]
 * @returns [B, Lq, heads·D]
 * @throws ShapeError where the shapes do not fit
 */
export function attention(q: Value, k: Value, v: Value, options: AttentionOptions): Value {
	const { heads, causal = false } = options;
	const scale = options.scale ?? 1 / Math.sqrt((q.shape.at(-1) ?? heads) / heads);
	return q.graph.apply(attentionOp, [q, k, v], { heads, causal, scale })[0]!;
}
