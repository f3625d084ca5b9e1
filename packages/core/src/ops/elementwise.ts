// Elementwise ops: rows of the table that run inside the one `pointwise` kernel, fused with their neighbours.
import { ShapeError } from "../graph/errors.js";
import type { Graph, Value } from "../graph/graph.js";
import { broadcastShapes, type DType, formatType, type Shape, sizeOf, stridesOf, type Type } from "../graph/types.js";
import { reduceTo } from "./reduce.js";
import { erf } from "./special.js";
import { defineOp, type GradientContext, type Op, type Sample, type SampleRandom } from "./table.js";

/** An operand: a value, or a number that stands for a scalar constant. */
export type Operand = Value | number;

function graphOf(op: string, operands: readonly Operand[]): Graph {
	for (const operand of operands) if (typeof operand !== "number") return operand.graph;
	throw new ShapeError(`${op}: at least one operand must be a value of a graph`);
}

export function toValues(op: string, operands: readonly Operand[]): Value[] {
	const graph = graphOf(op, operands);
	return operands.map((operand) => (typeof operand === "number" ? graph.constant(operand) : operand));
}

function inferElementwise(name: string, inputs: readonly (Type | null)[]): Type[] {
	const types = inputs as readonly Type[];
	const dtype = types.find((t) => t.shape.length > 0)?.dtype ?? types[0]!.dtype;
	for (const type of types) {
		if (type.dtype === "i32") throw new ShapeError(`${name}: i32 has no arithmetic; cast it to f32 first`);
		if (type.dtype !== dtype && type.shape.length > 0)
			throw new ShapeError(`${name}: ${formatType(type)} and ${dtype} are mixed; cast one of them`);
	}
	return [
		{
			shape: broadcastShapes(
				name,
				types.map((t) => t.shape),
			),
			dtype,
		},
	];
}

/** Visits every index of `out`, giving the flat offsets into operands of the given shapes (broadcast). */
export function forEachBroadcast(
	out: Shape,
	shapes: readonly Shape[],
	visit: (index: number, offsets: number[]) => void,
): void {
	const strides = shapes.map((shape) => {
		const own = stridesOf(shape);
		return out.map((_, axis) => {
			const at = axis - (out.length - shape.length);
			return at < 0 || shape[at] === 1 ? 0 : own[at]!;
		});
	});
	const index = new Array<number>(out.length).fill(0);
	const offsets = shapes.map(() => 0);
	const size = sizeOf(out);
	for (let i = 0; i < size; i++) {
		visit(i, offsets);
		for (let axis = out.length - 1; axis >= 0; axis--) {
			for (let k = 0; k < shapes.length; k++) offsets[k]! += strides[k]![axis]!;
			if (++index[axis]! < out[axis]!) break;
			for (let k = 0; k < shapes.length; k++) offsets[k]! -= strides[k]![axis]! * out[axis]!;
			index[axis] = 0;
		}
	}
}

function samplesOf(arity: number, low: number): (random: SampleRandom) => Sample[] {
	return (random) => {
		const shape = [random.integer(1, 3), random.integer(1, 17), random.integer(1, 40)];
		const draw = (_: number, normal: () => number) => (Number.isFinite(low) ? low + Math.abs(normal()) : normal() * 2);
		const f32 = (s: number[]): Type => ({ shape: s, dtype: "f32" });
		const cases: Sample[] = [
			{ inputs: Array.from({ length: arity }, () => f32(shape)), draw },
			{ inputs: Array.from({ length: arity }, () => f32([])), draw },
			{ inputs: Array.from({ length: arity }, () => f32([1])), draw },
		];
		if (arity > 1) {
			cases.push({ inputs: Array.from({ length: arity }, (_, i) => f32(i ? [shape[2]!] : shape)), draw });
			cases.push({ inputs: Array.from({ length: arity }, (_, i) => f32(i ? [shape[1]!, 1] : shape)), draw });
		}
		return cases;
	};
}

interface Rule {
	opcode: number;
	arity: number;
	f: (...x: number[]) => number;
	/** Gradients of the inputs for the gradient g of the output. */
	derivative?: (g: Value, c: GradientContext) => (Value | null)[];
	/** Samples are drawn from low + |normal|; −∞: from all reals. */
	low?: number;
	bound?: number;
}

function define(name: string, rule: Rule): Op {
	return defineOp({
		name,
		infer: (inputs) => inferElementwise(name, inputs),
		evaluate: (inputs, _attributes, types) => {
			const out = new Float64Array(sizeOf(types.outputs[0]!.shape));
			const args = inputs.map(() => 0);
			forEachBroadcast(
				types.outputs[0]!.shape,
				types.inputs.map((t) => t!.shape),
				(i, offsets) => {
					for (let k = 0; k < args.length; k++) args[k] = inputs[k]![offsets[k]!]!;
					out[i] = rule.f(...args);
				},
			);
			return [out];
		},
		...(rule.derivative && {
			differentiate: (c: GradientContext) => {
				const g = c.grad(0);
				if (!g) return [];
				return rule.derivative!(g, c).map((value, i) =>
					value && c.needs(i) ? reduceTo(value, c.inputType(i).shape) : null,
				);
			},
		}),
		pointwise: { opcode: rule.opcode },
		samples: samplesOf(rule.arity, rule.low ?? Number.NEGATIVE_INFINITY),
		...(rule.bound && { bound: rule.bound }),
	});
}

const SQRT1_2 = Math.SQRT1_2;
const phi = (x: number) => Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI);
const Phi = (x: number) => 0.5 * (1 + erf(x * SQRT1_2));
const sig = (x: number) => 1 / (1 + Math.exp(-x));

/** Float64 references of the activations, shared with the fused epilogues. */
export const activationReference = {
	none: (x: number) => x,
	gelu: (x: number) => x * Phi(x),
	silu: (x: number) => x * sig(x),
	quickGelu: (x: number) => x * sig(1.702 * x),
	relu: (x: number) => (x > 0 || Number.isNaN(x) ? x : 0),
};

const nanMax = (a: number, b: number) => (Number.isNaN(a) || Number.isNaN(b) ? Number.NaN : Math.max(a, b));
const nanMin = (a: number, b: number) => (Number.isNaN(a) || Number.isNaN(b) ? Number.NaN : Math.min(a, b));

const OPS: Record<string, Op> = {
	add: define("add", { opcode: 2, arity: 2, f: (a, b) => a + b, derivative: (g) => [g, g] }),
	sub: define("sub", {
		opcode: 3,
		arity: 2,
		f: (a, b) => a - b,
		derivative: (g, c) => [g, c.needs(1) ? neg(g) : null],
	}),
	mul: define("mul", {
		opcode: 4,
		arity: 2,
		f: (a, b) => a * b,
		derivative: (g, c) => [c.needs(0) ? mul(g, c.input(1)) : null, c.needs(1) ? mul(g, c.input(0)) : null],
	}),
	div: define("div", {
		opcode: 5,
		arity: 2,
		low: 0.5,
		f: (a, b) => a / b,
		derivative: (g, c) => [
			c.needs(0) ? div(g, c.input(1)) : null,
			c.needs(1) ? neg(div(mul(g, c.input(0)), square(c.input(1)))) : null,
		],
	}),
	maximum: define("maximum", {
		opcode: 6,
		arity: 2,
		f: nanMax,
		derivative: (g, c) => [
			c.needs(0) ? mul(g, greaterEqual(c.input(0), c.input(1))) : null,
			c.needs(1) ? mul(g, greater(c.input(1), c.input(0))) : null,
		],
	}),
	minimum: define("minimum", {
		opcode: 7,
		arity: 2,
		f: nanMin,
		derivative: (g, c) => [
			c.needs(0) ? mul(g, greaterEqual(c.input(1), c.input(0))) : null,
			c.needs(1) ? mul(g, greater(c.input(0), c.input(1))) : null,
		],
	}),
	neg: define("neg", { opcode: 8, arity: 1, f: (x) => -x, derivative: (g) => [neg(g)] }),
	abs: define("abs", { opcode: 9, arity: 1, f: Math.abs, derivative: (g, c) => [mul(g, sign(c.input(0)))] }),
	exp: define("exp", { opcode: 10, arity: 1, f: Math.exp, derivative: (g, c) => [mul(g, c.output(0))] }),
	log: define("log", { opcode: 11, arity: 1, low: 0.1, f: Math.log, derivative: (g, c) => [div(g, c.input(0))] }),
	sqrt: define("sqrt", {
		opcode: 12,
		arity: 1,
		low: 0.1,
		f: Math.sqrt,
		derivative: (g, c) => [div(mul(g, 0.5), c.output(0))],
	}),
	rsqrt: define("rsqrt", {
		opcode: 13,
		arity: 1,
		low: 0.1,
		f: (x) => 1 / Math.sqrt(x),
		derivative: (g, c) => [mul(mul(g, -0.5), mul(c.output(0), square(c.output(0))))],
	}),
	reciprocal: define("reciprocal", {
		opcode: 14,
		arity: 1,
		low: 0.1,
		f: (x) => 1 / x,
		derivative: (g, c) => [neg(mul(g, square(c.output(0))))],
	}),
	sigmoid: define("sigmoid", {
		opcode: 15,
		arity: 1,
		f: sig,
		derivative: (g, c) => [mul(g, mul(c.output(0), sub(1, c.output(0))))],
	}),
	tanh: define("tanh", {
		opcode: 16,
		arity: 1,
		f: Math.tanh,
		derivative: (g, c) => [mul(g, sub(1, square(c.output(0))))],
	}),
	erf: define("erf", {
		opcode: 17,
		arity: 1,
		f: erf,
		derivative: (g, c) => [mul(g, mul(exp(neg(square(c.input(0)))), 2 / Math.sqrt(Math.PI)))],
	}),
	sin: define("sin", { opcode: 18, arity: 1, f: Math.sin, derivative: (g, c) => [mul(g, cos(c.input(0)))] }),
	cos: define("cos", { opcode: 19, arity: 1, f: Math.cos, derivative: (g, c) => [neg(mul(g, sin(c.input(0))))] }),
	silu: define("silu", {
		opcode: 20,
		arity: 1,
		f: activationReference.silu,
		derivative: (g, c) => [apply("siluGrad", g, c.input(0))],
	}),
	gelu: define("gelu", {
		opcode: 21,
		arity: 1,
		f: activationReference.gelu,
		derivative: (g, c) => [apply("geluGrad", g, c.input(0))],
	}),
	quickGelu: define("quickGelu", {
		opcode: 22,
		arity: 1,
		f: activationReference.quickGelu,
		derivative: (g, c) => [apply("quickGeluGrad", g, c.input(0))],
	}),
	relu: define("relu", {
		opcode: 23,
		arity: 1,
		f: activationReference.relu,
		derivative: (g, c) => [apply("reluGrad", g, c.input(0))],
	}),
	siluGrad: define("siluGrad", { opcode: 24, arity: 2, f: (g, x) => g * sig(x) * (1 + x * (1 - sig(x))) }),
	geluGrad: define("geluGrad", { opcode: 25, arity: 2, f: (g, x) => g * (Phi(x) + x * phi(x)) }),
	quickGeluGrad: define("quickGeluGrad", {
		opcode: 26,
		arity: 2,
		f: (g, x) => g * sig(1.702 * x) * (1 + 1.702 * x * (1 - sig(1.702 * x))),
	}),
	reluGrad: define("reluGrad", { opcode: 27, arity: 2, f: (g, x) => (x > 0 ? g : 0) }),
	greater: define("greater", { opcode: 28, arity: 2, f: (a, b) => (a > b ? 1 : 0), derivative: () => [null, null] }),
	greaterEqual: define("greaterEqual", {
		opcode: 29,
		arity: 2,
		f: (a, b) => (a >= b ? 1 : 0),
		derivative: () => [null, null],
	}),
	equal: define("equal", { opcode: 30, arity: 2, f: (a, b) => (a === b ? 1 : 0), derivative: () => [null, null] }),
	square: define("square", {
		opcode: 32,
		arity: 1,
		f: (x) => x * x,
		derivative: (g, c) => [mul(mul(g, 2), c.input(0))],
	}),
	sign: define("sign", { opcode: 33, arity: 1, f: (x) => Math.sign(x), derivative: () => [null] }),
	pow: define("pow", {
		opcode: 34,
		arity: 2,
		low: 0.5,
		f: (a, b) => a ** b,
		derivative: (g, c) => [
			c.needs(0) ? mul(g, mul(c.input(1), pow(c.input(0), sub(c.input(1), 1)))) : null,
			c.needs(1) ? mul(g, mul(c.output(0), log(c.input(0)))) : null,
		],
	}),
	floor: define("floor", { opcode: 35, arity: 1, f: Math.floor, derivative: () => [null] }),
	/** condition ≠ 0 ? a : b */
	select: define("select", {
		opcode: 31,
		arity: 3,
		f: (condition, a, b) => (condition !== 0 ? a : b),
		derivative: (g, c) => [
			null,
			c.needs(1) ? select(c.input(0), g, 0) : null,
			c.needs(2) ? select(c.input(0), 0, g) : null,
		],
	}),
};

/** Opcodes of instructions that are not ops of their own. */
export const MOVE = 0;
export const IMMEDIATE = 1;

function apply(name: string, ...operands: Operand[]): Value {
	const values = toValues(name, operands);
	return values[0]!.graph.apply(OPS[name]!, values)[0]!;
}

/** a + b, broadcast. */
export const add = (a: Operand, b: Operand): Value => apply("add", a, b);
/** a − b, broadcast. */
export const sub = (a: Operand, b: Operand): Value => apply("sub", a, b);
/** a · b elementwise, broadcast. */
export const mul = (a: Operand, b: Operand): Value => apply("mul", a, b);
/** a / b elementwise, broadcast. */
export const div = (a: Operand, b: Operand): Value => apply("div", a, b);
/** The larger of a and b; NaN if either is. At a tie the gradient goes to a. */
export const maximum = (a: Operand, b: Operand): Value => apply("maximum", a, b);
/** The smaller of a and b; NaN if either is. At a tie the gradient goes to a. */
export const minimum = (a: Operand, b: Operand): Value => apply("minimum", a, b);
/** a to the power b, for a > 0. */
export const pow = (a: Operand, b: Operand): Value => apply("pow", a, b);
/** 1 where a > b, else 0. No gradient. */
export const greater = (a: Operand, b: Operand): Value => apply("greater", a, b);
/** 1 where a ≥ b, else 0. No gradient. */
export const greaterEqual = (a: Operand, b: Operand): Value => apply("greaterEqual", a, b);
/** 1 where a = b, else 0. No gradient. */
export const equal = (a: Operand, b: Operand): Value => apply("equal", a, b);
/** a where condition ≠ 0, else b. */
export const select = (condition: Operand, a: Operand, b: Operand): Value => apply("select", condition, a, b);
/** −x */
export const neg = (x: Value): Value => apply("neg", x);
/** |x|; gradient sign(x). */
export const abs = (x: Value): Value => apply("abs", x);
export const exp = (x: Value): Value => apply("exp", x);
/** Natural logarithm. */
export const log = (x: Value): Value => apply("log", x);
export const sqrt = (x: Value): Value => apply("sqrt", x);
/** 1/√x */
export const rsqrt = (x: Value): Value => apply("rsqrt", x);
/** 1/x */
export const reciprocal = (x: Value): Value => apply("reciprocal", x);
export const sigmoid = (x: Value): Value => apply("sigmoid", x);
export const tanh = (x: Value): Value => apply("tanh", x);
/** Gauss error function. */
export const erfOf = (x: Value): Value => apply("erf", x);
export const sin = (x: Value): Value => apply("sin", x);
export const cos = (x: Value): Value => apply("cos", x);
/** x · sigmoid(x) */
export const silu = (x: Value): Value => apply("silu", x);
/** x · Φ(x), exact (erf). */
export const gelu = (x: Value): Value => apply("gelu", x);
/** x · sigmoid(1.702 x), as in OpenAI's CLIP. */
export const quickGelu = (x: Value): Value => apply("quickGelu", x);
export const relu = (x: Value): Value => apply("relu", x);
export const square = (x: Value): Value => apply("square", x);
/** −1, 0 or 1. No gradient. */
export const sign = (x: Value): Value => apply("sign", x);
/** Largest whole number not above x. No gradient. */
export const floor = (x: Value): Value => apply("floor", x);
/** x limited to [low, high]; the gradient is 0 outside. */
export const clamp = (x: Value, low: number, high: number): Value => minimum(maximum(x, low), high);

/** dy · act′(x) for the activations that fused ops know. */
export function activationGrad(activation: "gelu" | "silu" | "quickGelu" | "relu", dy: Value, x: Value): Value {
	return apply(`${activation}Grad`, dy, x);
}

/** Converts to another element type; f32 → i32 truncates. The gradient is cast back; none flows through i32. */
export function cast(x: Value, dtype: DType): Value {
	return x.dtype === dtype ? x : x.graph.apply(castOp, [x], { dtype })[0]!;
}

export const castOp = defineOp({
	name: "cast",
	infer: (inputs, attributes) => [{ shape: inputs[0]!.shape, dtype: attributes.dtype as DType }],
	evaluate: (inputs, attributes) => [attributes.dtype === "i32" ? inputs[0]!.map(Math.trunc) : inputs[0]!.slice()],
	differentiate: (c) => {
		const g = c.grad(0);
		const to = c.inputType(0).dtype;
		return [g && to !== "i32" && c.outputType(0).dtype !== "i32" ? cast(g, to) : null];
	},
	pointwise: { opcode: MOVE },
	samples: (random) => [
		{ inputs: [{ shape: [random.integer(1, 50)], dtype: "f32" }], attributes: { dtype: "f16" } },
		{ inputs: [{ shape: [random.integer(1, 50)], dtype: "f32" }], attributes: { dtype: "bf16" } },
		{
			inputs: [{ shape: [random.integer(1, 50)], dtype: "f32" }],
			attributes: { dtype: "i32" },
			draw: (_, normal) => normal() * 100,
		},
		{
			inputs: [{ shape: [random.integer(1, 50)], dtype: "i32" }],
			attributes: { dtype: "f32" },
			draw: (_, normal) => Math.trunc(normal() * 100),
		},
	],
});
