// Group normalisation.
import { ShapeError } from "../graph/errors.js";
import type { Value } from "../graph/graph.js";
import { formatType, sizeOf, type Type } from "../graph/types.js";
import { cast } from "./elementwise.js";
import { cutContents, halvesOf, joinContents, joinedType } from "./halves.js";
import { checkEps, checkScale } from "./norm.js";
import { type Contents, defineOp, type Op, type Sample } from "./table.js";

export interface GroupNormOptions {
	groups: number;
	/** Default 1e-5. */
	eps?: number;
	/** [C]; absent: 1. */
	weight?: Value | null;
	/** [C]; absent: 0. */
	bias?: Value | null;
	/** Applied to the result. Default "none". */
	activation?: "none" | "silu";
}

interface GroupNormAttributes {
	readonly groups: number;
	readonly eps: number;
	readonly activation: "none" | "silu";
}

const ACTIVATIONS = { none: 0, silu: 2 } as const;

interface Groups {
	readonly n: number;
	/** Pixels per sample. */
	readonly pixels: number;
	readonly channels: number;
	readonly groups: number;
}

function groupsOf(x: Type, groups: number): Groups {
	return { n: x.shape[0]!, pixels: sizeOf(x.shape.slice(1, -1)), channels: x.shape.at(-1)!, groups };
}

/** Visits the elements of one group of one sample: flat index and channel. */
function forEachInGroup(d: Groups, sample: number, group: number, visit: (at: number, channel: number) => void): void {
	const width = d.channels / d.groups;
	for (let p = 0; p < d.pixels; p++)
		for (let k = 0; k < width; k++) {
			const channel = group * width + k;
			visit((sample * d.pixels + p) * d.channels + channel, channel);
		}
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

type GroupNormInputs<T> = readonly [x1: T, x2: T | null, weight: T | null, bias: T | null];

/** The gradients, or with `absolute` the sums of the absolute values of their terms. */
function groupNormGradients([inputs, attributes, types]: Parameters<Op["evaluate"]>, absolute: boolean): Contents[] {
	const term = absolute ? Math.abs : (value: number) => value;
	const minus = absolute ? 1 : -1;
	const [x1, x2, weight, bias, stats, dy] = inputs as readonly [...GroupNormInputs<Contents>, Contents, Contents];
	const { groups, activation } = attributes as unknown as GroupNormAttributes;
	const widths = types.inputs.slice(0, x2 ? 2 : 1).map((type) => type!.shape.at(-1)!);
	const x = joinContents(x1, x2, widths[0]!, widths[1] ?? 0);
	const d = groupsOf(joinedType(types.inputs[0]!, types.inputs[1]!), groups);
	const count = (d.pixels * d.channels) / groups;
	const dx = new Float64Array(x.length);
	const dweight = new Float64Array(d.channels);
	const dbias = new Float64Array(d.channels);
	for (let n = 0; n < d.n; n++)
		for (let group = 0; group < groups; group++) {
			const center = stats[2 * (n * groups + group)]!;
			const scale = stats[2 * (n * groups + group) + 1]!;
			let total = 0;
			let along = 0;
			forEachInGroup(d, n, group, (at, channel) => {
				const normal = term((x[at]! - center) * scale);
				const gamma = weight ? weight[channel]! : 1;
				const u = normal * gamma + (bias ? bias[channel]! : 0);
				const du = term(activation === "silu" ? dy[at]! * sigmoid(u) * (1 + u * (1 - sigmoid(u))) : dy[at]!);
				dweight[channel]! += du * normal;
				dbias[channel]! += du;
				dx[at] = du * gamma;
				total += du * gamma;
				along += du * gamma * normal;
			});
			forEachInGroup(d, n, group, (at) => {
				const normal = term((x[at]! - center) * scale);
				dx[at] = scale * (dx[at]! + (minus * (total + normal * along)) / count);
			});
		}
	const [dx1, dx2] = cutContents(dx, widths);
	return [dx1!, dweight, dbias, ...(dx2 ? [dx2] : [])];
}

const groupNormGradOp = defineOp({
	name: "groupNormGrad",
	infer: (inputs) => {
		const [x1, x2, weight, bias] = inputs as GroupNormInputs<Type>;
		const channels = joinedType(x1, x2).shape.slice(-1);
		return [
			{ shape: x1.shape, dtype: x1.dtype },
			{ shape: channels, dtype: weight?.dtype ?? "f32" },
			{ shape: channels, dtype: bias?.dtype ?? "f32" },
			...(x2 ? [{ shape: x2.shape, dtype: x2.dtype }] : []),
		];
	},
	evaluate: (...given) => groupNormGradients(given, false),
	magnitude: (...given) => groupNormGradients(given, true),
	lower: (lowering, node) => {
		const [x1, x2, weight, bias, stats, dy] = node.inputs as readonly [...GroupNormInputs<Value>, Value, Value];
		const { groups, eps, activation } = node.attributes as unknown as GroupNormAttributes;
		const { n, pixels } = groupsOf(x1, groups);
		const [y1, , , y2] = node.outputs;
		const [dweight, dbias] = node.outputs.slice(1, 3).map((value) => lowering.outputIfUsed(value));
		lowering.call("group_norm_grad", node, {
			operands: [
				lowering.activation(x1),
				x2 && lowering.activation(x2),
				weight && lowering.contiguous(weight),
				bias && lowering.contiguous(bias),
				lowering.contiguous(stats),
				lowering.activation(dy),
				lowering.resultIfUsed(y1!),
				y2 ? lowering.resultIfUsed(y2) : null,
				dweight!,
				dbias!,
			],
			ints: [n, pixels, x1.shape.at(-1)!, x2?.shape.at(-1) ?? 0, groups, ACTIVATIONS[activation]],
			floats: [eps],
		});
	},
});

const groupNormOp = defineOp({
	name: "groupNorm",
	auxiliaryOutputs: [1],
	infer: (inputs, attributes) => {
		const [x1, x2, weight, bias] = inputs as GroupNormInputs<Type>;
		const { groups, eps } = attributes as unknown as GroupNormAttributes;
		if (x1.shape.length < 2) throw new ShapeError(`groupNorm: expected [N, …, C], got ${formatType(x1)}`);
		if (x1.dtype === "i32")
			throw new ShapeError(`groupNorm: i32 has no arithmetic (${formatType(x1)}); cast it to f32 first`);
		const x = joinedType(x1, x2);
		const channels = x.shape.at(-1)!;
		if (!Number.isInteger(groups) || groups < 1 || channels % groups !== 0)
			throw new ShapeError(
				`groupNorm: the ${channels} channels of ${formatType(x)} can't be divided into ${groups} groups`,
			);
		checkEps("groupNorm", eps);
		checkScale("groupNorm", "weight", weight, channels);
		checkScale("groupNorm", "bias", bias, channels);
		return [
			{ shape: x.shape, dtype: x.dtype },
			{ shape: [x.shape[0]!, groups, 2], dtype: "f32" },
		];
	},
	evaluate: (inputs, attributes, types) => {
		const [x1, x2, weight, bias] = inputs as GroupNormInputs<Contents>;
		const { groups, eps, activation } = attributes as unknown as GroupNormAttributes;
		const x = joinContents(x1, x2, types.inputs[0]!.shape.at(-1)!, types.inputs[1]?.shape.at(-1) ?? 0);
		const d = groupsOf(types.outputs[0]!, groups);
		const count = (d.pixels * d.channels) / groups;
		const y = new Float64Array(x.length);
		const stats = new Float64Array(d.n * groups * 2);
		for (let n = 0; n < d.n; n++)
			for (let group = 0; group < groups; group++) {
				let total = 0;
				forEachInGroup(d, n, group, (at) => {
					total += x[at]!;
				});
				const center = total / count;
				let squares = 0;
				forEachInGroup(d, n, group, (at) => {
					squares += (x[at]! - center) ** 2;
				});
				const scale = 1 / Math.sqrt(squares / count + eps);
				stats.set([center, scale], 2 * (n * groups + group));
				forEachInGroup(d, n, group, (at, channel) => {
					const u = (x[at]! - center) * scale * (weight ? weight[channel]! : 1) + (bias ? bias[channel]! : 0);
					y[at] = activation === "silu" ? u * sigmoid(u) : u;
				});
			}
		return [y, stats];
	},
	differentiate: (c) => {
		const dy = c.grad(0);
		if (!dy) return [];
		const optional = (i: number) => (c.hasInput(i) ? c.input(i) : null);
		// The bias matters to the gradient only through the activation.
		const bias = c.attributes.activation === "none" ? null : optional(3);
		const inputs = [c.input(0), optional(1), optional(2), bias, c.output(1), dy];
		const [dx1, dweight, dbias, dx2] = dy.graph.apply(groupNormGradOp, inputs, c.attributes);
		return [dx1!, dx2 ?? null, dweight!, c.needs(3) ? cast(dbias!, c.inputType(3).dtype) : null].map((value, i) =>
			c.needs(i) ? value : null,
		);
	},
	lower: (lowering, node) => {
		const [x1, x2, weight, bias] = node.inputs as GroupNormInputs<Value>;
		const { groups, eps, activation } = node.attributes as unknown as GroupNormAttributes;
		const { n, pixels } = groupsOf(x1, groups);
		lowering.call("group_norm", node, {
			operands: [
				lowering.activation(x1),
				x2 && lowering.activation(x2),
				weight && lowering.contiguous(weight),
				bias && lowering.contiguous(bias),
				lowering.result(node.outputs[0]!),
				lowering.outputIfUsed(node.outputs[1]!),
			],
			ints: [n, pixels, x1.shape.at(-1)!, x2?.shape.at(-1) ?? 0, groups, ACTIVATIONS[activation]],
			floats: [eps],
		});
	},
	samples: (random): Sample[] => {
		const f32 = (...shape: number[]): Type => ({ shape, dtype: "f32" });
		const [h, w] = [random.integer(1, 7), random.integer(1, 9)];
		const [groups, width] = [random.integer(1, 8), random.integer(1, 9)];
		const c = groups * width;
		const silu = { groups, eps: 1e-5, activation: "silu" };
		const none = { groups, eps: 1e-6, activation: "none" };
		return [
			{ inputs: [f32(2, h, w, c), null, f32(c), f32(c)], attributes: silu },
			{ inputs: [f32(2, h, w, c), null, null, null], attributes: none },
			{ inputs: [f32(1, h * w + 1, c), null, f32(c), null], attributes: none },
			{ inputs: [f32(3, 4, c), null, null, f32(c)], attributes: silu },
			// Two values side by side; a group reaches across their border.
			{ inputs: [f32(2, h, w, c + 1), f32(2, h, w, 2 * c - 1), f32(3 * c), f32(3 * c)], attributes: silu },
			// One element per group.
			{ inputs: [f32(2, 1, 1, groups), null, f32(groups), f32(groups)], attributes: silu },
			{ inputs: [f32(1, 16, 16, 64), null, f32(64), f32(64)], attributes: { ...silu, groups: 32 } },
			// A mean much larger than the spread.
			{
				inputs: [f32(1, 5, 3, c), null, f32(c), f32(c)],
				attributes: none,
				draw: (i, normal) => (i === 0 ? 100 : 0) + normal(),
			},
		];
	},
});

/**
 * Group normalisation: (x − mean) / √(var + eps) · weight + bias, then the activation. Mean and biased variance are over all pixels of
 * a group of neighbouring channels, in f32 whatever the storage. A concat of two values along the channels is read in place.
 *
 * @param x [N, …, C]
 * @returns x's shape
 * @throws ShapeError where the shapes do not fit
 */
export function groupNorm(x: Value, options: GroupNormOptions): Value {
	const { groups, eps = 1e-5, weight = null, bias = null, activation = "none" } = options;
	return x.graph.apply(groupNormOp, [...halvesOf(x), weight, bias], { groups, eps, activation })[0]!;
}
