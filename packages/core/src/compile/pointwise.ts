// A tree of elementwise ops as one program of the `pointwise` kernel.
import { GraphError } from "../graph/errors.js";
import { constantData, type Node, type Value } from "../graph/graph.js";
import { IMMEDIATE, MOVE } from "../ops/elementwise.js";
import { isImmediate } from "./fusion.js";
import type { StridedOperand } from "./lowering.js";

const REGISTERS = 32;
const SELECT = 31;

export interface BuiltPointwise {
	readonly inputs: readonly StridedOperand[];
	readonly floats: readonly number[];
	/** Every node computed in the pass. */
	readonly nodes: readonly Node[];
	ints(outputStrides: readonly number[]): number[];
}

/** Collects the tree under `root` and assigns registers: inputs first, then temporaries, each freed after its one use. */
export function buildPointwise(
	root: Node,
	isInlined: (node: Node) => boolean,
	place: (value: Value) => StridedOperand,
): BuiltPointwise {
	const shape = root.outputs[0]!.shape;
	const inputs: StridedOperand[] = [];
	const registerOf = new Map<string, number>();
	const nodes: Node[] = [];

	// First the operands, so that their registers come before the temporaries.
	const collect = (node: Node): void => {
		nodes.push(node);
		for (const input of node.inputs as readonly Value[]) {
			if (isInlined(input.node) && input.node.op.pointwise) collect(input.node);
			else if (!isImmediate(input)) operandRegister(input);
		}
	};
	const operandRegister = (value: Value): number => {
		const view = place(value);
		const lead = shape.length - view.shape.length;
		const strides = shape.map((_, i) => (i < lead || view.shape[i - lead] === 1 ? 0 : view.strides[i - lead]!));
		const key = `${storageId(view)}/${view.offset}/${strides.join()}`;
		let register = registerOf.get(key);
		if (register === undefined) {
			register = inputs.length;
			registerOf.set(key, register);
			inputs.push({ ...view, shape, strides });
		}
		return register;
	};
	const ids = new Map<object, number>();
	const storageId = (view: StridedOperand): number => {
		let id = ids.get(view.storage);
		if (id === undefined) {
			id = ids.size;
			ids.set(view.storage, id);
		}
		return id;
	};
	collect(root);

	const floats: number[] = [];
	const instructions: number[][] = [];
	const free: number[] = [];
	let top = inputs.length;
	const take = (): number => {
		const register = free.pop() ?? top++;
		if (register >= REGISTERS)
			throw new GraphError(`${root.label}: an elementwise pass needs more than ${REGISTERS} registers`);
		return register;
	};
	const release = (register: number) => {
		if (register >= inputs.length) free.push(register);
	};
	const evaluate = (value: Value): number => {
		if (isImmediate(value)) {
			const register = take();
			instructions.push([IMMEDIATE, register, floats.length, 0]);
			floats.push(constantData(value)![0]!);
			return register;
		}
		return isInlined(value.node) && value.node.op.pointwise ? compute(value.node) : operandRegister(value);
	};
	const compute = (node: Node): number => {
		const args = (node.inputs as readonly Value[]).map(evaluate);
		const { opcode } = node.op.pointwise!;
		let result: number;
		if (opcode === SELECT) {
			// The condition's register becomes the result's: give it one of its own.
			result = take();
			instructions.push([MOVE, result, args[0]!, 0], [SELECT, result, args[1]!, args[2]!]);
			for (const register of new Set(args)) release(register);
		} else {
			for (const register of new Set(args)) release(register);
			result = take();
			instructions.push([opcode, result, args[0]!, args[1] ?? 0]);
		}
		return result;
	};
	const result = compute(root);
	return {
		inputs,
		floats,
		nodes,
		ints: (outputStrides) => [
			shape.length,
			inputs.length,
			1,
			instructions.length,
			...shape,
			...inputs.flatMap((input) => input.strides),
			...outputStrides,
			...instructions.flat(),
			result,
		],
	};
}
