// Runs a graph op by op, without fusion, and compares each result with the float64 interpreter.

import { frozenContents } from "../device/contents.js";
import type { Device } from "../device/device.js";
import type { Tensor } from "../device/tensor.js";
import { type Graph, type Node, stateOf, type Value } from "../graph/graph.js";
import type { Type } from "../graph/types.js";
import { interpret } from "../interpret/interpreter.js";
import type { Contents } from "../ops/table.js";
import { runEmitted } from "./compile.js";
import { emit } from "./emitter.js";
import { hasTf32 } from "./tf32.js";

export interface CheckReport {
	/** How many values were compared. */
	readonly values: number;
	/** The largest relative error of any value, in the norm. */
	readonly largestError: number;
	/** The first op, in program order, whose result is not finite or off; null: all agree. */
	readonly first: null | { readonly op: string; readonly value: string; readonly reason: string };
}

export async function checkProgram(
	device: Device,
	nodes: readonly Node[],
	_graph: Graph,
	inputs: Readonly<Record<string, ArrayLike<number>>>,
	bound: number,
	tf32 = false,
): Promise<CheckReport> {
	const values = nodes.filter((node) => !node.op.leaf).flatMap((node) => [...node.outputs]);
	const states = new Map<Tensor, ArrayLike<number>>();
	for (const node of nodes) {
		const tensor = stateOf(node.outputs[0]!);
		if (tensor) states.set(tensor, await tensor.read());
	}
	const frozen = await frozenContents(device, nodes);
	const got = await runEmitted(
		device,
		emit(device, nodes, values, [], { fuse: false, tf32: tf32 && hasTf32(device, true) }),
		inputs,
		values,
	);
	const want = interpret(values, {
		inputs,
		state: (tensor) => states.get(tensor)!,
		frozen: (tensor) => frozen.get(tensor)!,
	});
	const cancelled = new Map<Value, Contents>();
	let largestError = 0;
	let first: CheckReport["first"] = null;
	values.forEach((value, i) => {
		let { error, broken } = compare(got[i]!, want.get(value)!);
		if (!broken && error > bound) {
			const terms = termsOf(value, want, cancelled);
			const relative = (error * (norm(want.get(value)!) || 1)) / (norm(terms) || 1);
			if (relative <= bound) {
				cancelled.set(value, terms);
				error = relative;
			}
		}
		largestError = Math.max(largestError, error);
		if (!first && (broken || error > bound))
			first = {
				op: value.node.label,
				value: String(value),
				reason: broken ?? `its relative error is ${error.toExponential(2)}`,
			};
	});
	return { values: values.length, largestError, first };
}

/**
 * How large the terms are that a value is summed from: its op on absolute values. Terms that cancel, such as the sum of a deviation from
 * the mean, leave rounding errors alone, which only their terms' size can measure; and so does what is made of them (`cancelled`).
 */
function termsOf(value: Value, want: ReadonlyMap<Value, Contents>, cancelled: ReadonlyMap<Value, Contents>): Contents {
	const { op, inputs, outputs, attributes } = value.node;
	const absolute = inputs.map((input) => {
		if (!input) return null;
		const contents = want.get(input)!;
		return input.dtype === "i32" ? contents : (cancelled.get(input) ?? contents.map(Math.abs));
	});
	const types = { inputs: inputs as readonly (Type | null)[], outputs };
	return (op.magnitude ?? op.evaluate)(absolute, attributes, types)[value.index]!;
}

function norm(x: Contents): number {
	let squares = 0;
	for (const element of x) squares += element ** 2;
	return Math.sqrt(squares);
}

function compare(got: ArrayLike<number>, want: Float64Array): { error: number; broken: string | null } {
	let difference = 0;
	let size = 0;
	for (let i = 0; i < want.length; i++) {
		if (!Number.isFinite(got[i]!)) return { error: Number.POSITIVE_INFINITY, broken: `element ${i} is ${got[i]}` };
		difference += (got[i]! - want[i]!) ** 2;
		size += want[i]! ** 2;
	}
	return { error: Math.sqrt(difference) / (Math.sqrt(size) || 1), broken: null };
}
