// The graph: nodes in the order they were written, values between them.

import type { FrozenTensor, Tensor } from "../device/tensor.js";
import type { Attributes, Op } from "../ops/table.js";
import { GraphError, ShapeError } from "./errors.js";
import { checkShape, type DType, formatType, type Shape, sizeOf, type Type } from "./types.js";

/** A typed edge of the graph: what one output of a node will be when the program runs. It holds no data. */
export class Value implements Type {
	/** How many nodes and effects read it; kept by the graph. */
	constructor(
		readonly node: Node,
		/** Which of the node's outputs this is. */
		readonly index: number,
		readonly shape: Shape,
		readonly dtype: DType,
	) {}

	get graph(): Graph {
		return this.node.graph;
	}

	get rank(): number {
		return this.shape.length;
	}

	get size(): number {
		return sizeOf(this.shape);
	}

	toString(): string {
		return `%${this.node.id}${this.index ? `.${this.index}` : ""}: ${formatType(this)}`;
	}
}

/** One application of an op. */
export class Node {
	readonly outputs: readonly Value[];

	constructor(
		readonly graph: Graph,
		readonly id: number,
		readonly op: Op,
		readonly inputs: readonly (Value | null)[],
		readonly attributes: Attributes,
		types: readonly Type[],
		/** Where it was written: the names given by `graph.named`, for errors and printouts. */
		readonly path: string,
		/** The innermost `checkpoint` region it belongs to; 0: none. Its results are computed again in backward. */
		readonly region: number,
	) {
		this.outputs = types.map((type, index) => new Value(this, index, type.shape, type.dtype));
	}

	get label(): string {
		return this.path ? `${this.op.name} (${this.path})` : this.op.name;
	}
}

/** An update of persistent state, done after everything that reads the state's old contents. */
export interface Assignment {
	readonly tensor: Tensor;
	readonly value: Value;
}

/** A typed graph under construction. Nodes are kept in the order of their creation, which is a topological order. */
export class Graph {
	readonly nodes: Node[] = [];
	readonly assignments: Assignment[] = [];
	private readonly leaves = new Map<string | Tensor | FrozenTensor, Value>();
	private readonly names: string[] = [];
	private region = 0;
	private regions = 0;

	/** An input given anew at each run. Scalars (shape []) are how anything varies without compiling again. */
	input(name: string, shape: Shape = [], dtype: DType = "f32"): Value {
		checkShape(`input ${name}`, shape);
		if (this.leaves.has(name)) throw new GraphError(`the graph has two inputs named "${name}"; give each its own name`);
		const value = this.leaf("input", { name }, { shape: [...shape], dtype });
		this.leaves.set(name, value);
		return value;
	}

	/** The contents of persistent state as they are when the run starts. */
	state(tensor: Tensor): Value {
		let value = this.leaves.get(tensor);
		if (!value) {
			value = this.leaf("state", { tensor }, tensor);
			this.leaves.set(tensor, value);
		}
		return value;
	}

	/** A weight that never changes; consumers read it in the layout they prefer. */
	frozen(tensor: FrozenTensor): Value {
		let value = this.leaves.get(tensor);
		if (!value) {
			value = this.leaf("frozen", { tensor }, tensor);
			this.leaves.set(tensor, value);
		}
		return value;
	}

	/** A constant. A number gives a scalar, which costs nothing in elementwise ops. */
	constant(data: number | ArrayLike<number>, shape: Shape = [], dtype: DType = "f32"): Value {
		const values = typeof data === "number" ? [data] : Array.from(data);
		if (values.length !== sizeOf(shape))
			throw new ShapeError(`constant: ${values.length} numbers can't fill the shape [${shape.join(", ")}]`);
		return this.leaf("constant", { data: Float64Array.from(values) }, { shape: [...shape], dtype });
	}

	/** At the end of the run the tensor takes the value's contents. */
	assign(tensor: Tensor, value: Value): void {
		this.own("assign", value);
		if (
			tensor.shape.length !== value.shape.length ||
			tensor.shape.some((n, i) => n !== value.shape[i]) ||
			tensor.dtype !== value.dtype
		)
			throw new ShapeError(
				`assign: a value of ${formatType(value)} can't go into state "${tensor.name}" of ${formatType(tensor)}`,
			);
		if (this.assignments.some((other) => other.tensor === tensor))
			throw new GraphError(`assign: state "${tensor.name}" is assigned twice in one program`);
		this.assignments.push({ tensor, value });
	}

	/** Everything written inside carries this name in errors and printouts. */
	named<T>(name: string, write: () => T): T {
		this.names.push(name);
		try {
			return write();
		} finally {
			this.names.pop();
		}
	}

	/** Everything written inside is computed again in backward instead of being kept. Only what it returns and what it reads is kept. */
	checkpoint<T>(write: () => T): T {
		const outer = this.region;
		this.region = ++this.regions;
		try {
			return write();
		} finally {
			this.region = outer;
		}
	}

	/** Writes nodes outside any checkpoint region (gradients, recomputed copies). */
	outsideRegions<T>(write: () => T): T {
		const outer = this.region;
		this.region = 0;
		try {
			return write();
		} finally {
			this.region = outer;
		}
	}

	/** Applies an op; throws where the shapes or dtypes do not fit. */
	apply(op: Op, inputs: readonly (Value | null)[], attributes: Attributes = {}): readonly Value[] {
		for (const input of inputs) if (input) this.own(op.name, input);
		let types: readonly Type[];
		try {
			types = op.infer(inputs, attributes);
		} catch (error) {
			if (error instanceof ShapeError && this.names.length > 0)
				throw new ShapeError(`${this.names.join(".")}: ${error.message}`);
			throw error;
		}
		return this.add(op, inputs, attributes, types).outputs;
	}

	/** The named inputs in the order they were declared. */
	get inputs(): Value[] {
		return this.nodes.filter((node) => node.op.name === "input").map((node) => node.outputs[0]!);
	}

	private own(op: string, value: Value): void {
		if (value.graph !== this) throw new GraphError(`${op}: a value of another graph was given (${value})`);
	}

	private leaf(name: "input" | "state" | "frozen" | "constant", attributes: Attributes, type: Type): Value {
		return this.add(LEAVES[name], [], attributes, [{ shape: type.shape, dtype: type.dtype }]).outputs[0]!;
	}

	private add(op: Op, inputs: readonly (Value | null)[], attributes: Attributes, types: readonly Type[]): Node {
		const node = new Node(
			this,
			this.nodes.length,
			op,
			inputs,
			attributes,
			types,
			this.names.join("."),
			op.leaf ? 0 : this.region,
		);
		this.nodes.push(node);
		return node;
	}
}

const leafOp = (name: string): Op => ({
	name,
	leaf: true,
	infer: () => [],
	evaluate: () => {
		throw new GraphError(`${name} is a leaf; its contents are given, not computed`);
	},
});

const LEAVES = {
	input: leafOp("input"),
	state: leafOp("state"),
	frozen: leafOp("frozen"),
	constant: leafOp("constant"),
};

/** Reads the contents of a constant, or null for anything else. */
export function constantData(value: Value): Float64Array | null {
	return value.node.op === LEAVES.constant ? (value.node.attributes.data as Float64Array) : null;
}

export function inputName(value: Value): string | null {
	return value.node.op === LEAVES.input ? (value.node.attributes.name as string) : null;
}

export function stateOf(value: Value): Tensor | null {
	return value.node.op === LEAVES.state ? (value.node.attributes.tensor as Tensor) : null;
}

export function frozenOf(value: Value): FrozenTensor | null {
	return value.node.op === LEAVES.frozen ? (value.node.attributes.tensor as FrozenTensor) : null;
}
