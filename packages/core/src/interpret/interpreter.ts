// The plain interpreter: a graph, op by op, unfused, every value in memory of its own. The oracle of tests and the debugger.
import { roundBf16, roundF16 } from "../data/half.js";
import type { FrozenTensor, Tensor } from "../device/tensor.js";
import { GraphError, ShapeError } from "../graph/errors.js";
import { constantData, frozenOf, inputName, type Node, stateOf, type Value } from "../graph/graph.js";
import type { DType, Type } from "../graph/types.js";
import type { Contents, Op } from "../ops/table.js";

/**
 * How results are rounded after every op: "f64" not at all, "typed" to each value's own dtype, or everything to one type.
 * i32 values are whole in every mode.
 */
export type Precision = "f64" | "typed" | "f32" | "f16" | "bf16";

export interface InterpretOptions {
	precision?: Precision;
	/** Contents of the inputs, by name. */
	inputs?: Readonly<Record<string, ArrayLike<number>>>;
	state?: (tensor: Tensor) => ArrayLike<number>;
	frozen?: (tensor: FrozenTensor) => ArrayLike<number>;
	/** Replaces ops' references, for tests of the reference itself. */
	evaluate?: (op: Op) => Op["evaluate"];
}

function rounder(precision: Precision, dtype: DType): ((x: number) => number) | null {
	if (dtype === "i32" || precision === "f64") return null;
	const to = precision === "typed" ? dtype : precision;
	return to === "f32" ? Math.fround : to === "f16" ? roundF16 : roundBf16;
}

function load(value: Value, options: InterpretOptions): Contents {
	const constant = constantData(value);
	if (constant) return constant.slice();
	const name = inputName(value);
	const tensor = stateOf(value);
	const weight = frozenOf(value);
	let data: ArrayLike<number> | undefined;
	if (name !== null) data = options.inputs?.[name];
	else if (tensor) data = options.state?.(tensor);
	else if (weight) data = options.frozen?.(weight);
	const what = name !== null ? `input "${name}"` : tensor ? `state "${tensor.name}"` : `weight "${weight?.name}"`;
	if (!data) throw new GraphError(`interpret: no contents were given for ${what}`);
	if (data.length !== value.size)
		throw new ShapeError(`interpret: ${what} has ${value.size} elements; ${data.length} were given`);
	return Float64Array.from(data);
}

/** Nodes that the given values depend on, in topological order. */
export function nodesBehind(values: Iterable<Value>): Node[] {
	const needed = new Set<Node>();
	const stack = [...values].map((value) => value.node);
	while (stack.length > 0) {
		const node = stack.pop()!;
		if (needed.has(node)) continue;
		needed.add(node);
		for (const input of node.inputs) if (input) stack.push(input.node);
	}
	return [...needed].sort((a, b) => a.id - b.id);
}

/** Evaluates the given values and everything behind them. Returns the contents of every value met. */
export function interpret(values: readonly Value[], options: InterpretOptions = {}): Map<Value, Contents> {
	const precision = options.precision ?? "f64";
	const contents = new Map<Value, Contents>();
	const finish = (value: Value, data: Contents) => {
		const round = rounder(precision, value.dtype);
		if (round) for (let i = 0; i < data.length; i++) data[i] = round(data[i]!);
		contents.set(value, data);
	};
	for (const node of nodesBehind(values)) {
		if (node.op.leaf) {
			finish(node.outputs[0]!, load(node.outputs[0]!, options));
			continue;
		}
		const evaluate = options.evaluate?.(node.op) ?? node.op.evaluate;
		const results = evaluate(
			node.inputs.map((input) => input && contents.get(input)!),
			node.attributes,
			{ inputs: node.inputs as readonly (Type | null)[], outputs: node.outputs },
		);
		node.outputs.forEach((value, i) => {
			finish(value, results[i]!);
		});
	}
	return contents;
}
