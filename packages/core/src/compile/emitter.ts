// From a graph to a flat list of kernel calls over virtual memory.
import type { Device } from "../device/device.js";
import type { Tensor } from "../device/tensor.js";
import { GraphError } from "../graph/errors.js";
import type { Assignment } from "../graph/graph.js";
import { frozenOf, inputName, Node, stateOf, type Value } from "../graph/graph.js";
import { bytesOf, bytesPerElement, type DType, sizeOf, stridesOf } from "../graph/types.js";
import { type Fusion, NO_FUSION, planFusion, Uses } from "./fusion.js";
import type { KernelCall, Lowering, Operand, PitchedOperand, StridedOperand } from "./lowering.js";
import { buildPointwise } from "./pointwise.js";
import { type PlannedWeight, ProgramMemory } from "./program-memory.js";
import { Storage } from "./storage.js";
import { extentOf, isContiguous, pitchedOf, whole } from "./views.js";

/** One kernel call of a program. */
export interface EmittedCall {
	readonly kernel: string;
	readonly label: string;
	readonly operands: readonly (Operand | null)[];
	readonly ints: readonly number[];
	readonly floats: readonly number[];
	readonly scratch: Storage | null;
	/** Code of the choice it is computed with; 0: the kernel's own estimate. */
	readonly choice: number;
	/** Whether it writes memory that outlives the run. */
	readonly commits: boolean;
}

export interface Emitted {
	readonly calls: readonly EmittedCall[];
	readonly storages: ReadonlySet<Storage>;
	readonly inputs: ReadonlyMap<Value, Storage>;
	readonly outputs: readonly Storage[];
	/** What each buffer-backed storage comes from. */
	readonly weights: readonly PlannedWeight[];
	readonly constants: readonly { readonly storage: Storage; readonly value: Value }[];
	readonly states: ReadonlyMap<Tensor, Storage>;
}

export interface EmitOptions {
	/** Fuse elementwise chains and residuals. Default true. */
	fuse?: boolean;
	/** Compute products of f32 in tf32, with kernels that the device has. Default false. */
	tf32?: boolean;
}

export function emit(
	device: Device,
	nodes: readonly Node[],
	outputs: readonly Value[],
	assignments: readonly Assignment[],
	options: EmitOptions = {},
): Emitted {
	return new Emitter(device, nodes, outputs, assignments, options).run();
}

class Emitter implements Lowering {
	private readonly uses: Uses;
	private readonly fusion: Fusion;
	private readonly calls: EmittedCall[] = [];
	private readonly memory: ProgramMemory;
	private readonly places = new Map<Value, StridedOperand>();
	private readonly f32Copies = new Map<Value, Operand>();
	private readonly done = new Set<Node>();
	private readonly interleavedWeights: Set<Value>;
	readonly tf32: boolean;
	/** Outputs computed in f32 whose value is of low precision: rounded after the node's calls. */
	private roundings: { from: StridedOperand; to: StridedOperand; node: Node }[] = [];

	constructor(
		private readonly device: Device,
		private readonly nodes: readonly Node[],
		private readonly outputs: readonly Value[],
		private readonly assignments: readonly Assignment[],
		options: EmitOptions,
	) {
		this.memory = new ProgramMemory(device);
		this.tf32 = options.tf32 ?? false;
		this.uses = new Uses(nodes, [...outputs, ...assignments.map((a) => a.value)]);
		this.fusion = options.fuse === false ? NO_FUSION : planFusion(nodes, this.uses, device.readsHalves);
		this.interleavedWeights = new Set(
			nodes.flatMap((node) =>
				node.op.name === "matmul" && node.attributes.activation === "geglu" ? [node.inputs[1]!] : [],
			),
		);
	}

	run(): Emitted {
		// Inputs lie in the arena from the start, in their declared order, read or not.
		for (const node of this.nodes) if (inputName(node.outputs[0]!) !== null) this.strided(node.outputs[0]!);
		for (const node of this.nodes) this.emitNode(node);
		const results = this.outputs.map((value) => this.emitOutput(value));
		this.emitAssignments();
		for (const storage of this.memory.inputs.values()) {
			storage.firstUse = -1;
			storage.lastUse = Math.max(storage.lastUse, 0);
		}
		for (const storage of results) storage.lastUse = this.calls.length;
		return {
			calls: this.calls,
			storages: this.memory.storages,
			inputs: this.memory.inputs,
			outputs: results,
			weights: this.memory.weights,
			constants: this.memory.constants,
			states: this.memory.states,
		};
	}

	private emitNode(node: Node): void {
		if (node.op.leaf || node.op.view || this.fusion.inlined.has(node) || this.fusion.deferred.has(node)) return;
		if (node.op.name === "concat") return; // made on demand
		const residual = this.fusion.residuals.get(node);
		if (residual) this.emitWithResidual(node, residual.product, residual.other);
		else if (node.op.pointwise) this.emitPointwise(node);
		else if (node.op.lower) {
			node.op.lower(this, node);
			this.flushRoundings();
		} else throw new GraphError(`${node.label} can't be compiled: its row in the op table has no lowering`);
		this.done.add(node);
	}

	/** The product again, with the sum's other operand as its residual and the sum's value as its result. */
	private emitWithResidual(sum: Node, product: Node, other: Value): void {
		const inputs = [...product.inputs];
		inputs[product.op.residualInput!] = other;
		const fused = new Node(
			product.graph,
			sum.id,
			product.op,
			inputs,
			product.attributes,
			product.outputs,
			product.path,
			product.region,
		);
		this.aliases.set(fused.outputs[0]!, sum.outputs[0]!);
		for (let i = 1; i < fused.outputs.length; i++) this.aliases.set(fused.outputs[i]!, product.outputs[i]!);
		fused.op.lower!(this, fused);
		this.flushRoundings();
		this.done.add(product);
	}
	private readonly aliases = new Map<Value, Value>();
	private canonical(value: Value): Value {
		return this.aliases.get(value) ?? value;
	}

	private emitPointwise(root: Node): void {
		const value = root.outputs[0]!;
		const built = buildPointwise(
			root,
			(node) => this.fusion.inlined.has(node),
			(operand) => this.strided(operand),
		);
		for (const node of built.nodes) this.done.add(node);
		// Straight into the state it will become, if nothing reads the old contents later.
		let target: StridedOperand | null = null;
		const assignment = this.assignments.find((a) => a.value === value);
		if (assignment) {
			const storage = this.memory.state(assignment.tensor);
			const contiguous = stridesOf(value.shape).join();
			const clash = built.inputs.some(
				(input) => input.storage === storage && (input.strides.join() !== contiguous || input.offset !== 0),
			);
			const old = this.nodes.find((node) => stateOf(node.outputs[0]!) === assignment.tensor)?.outputs[0];
			if (!clash && (!old || this.readersDone(old))) target = whole(storage, value);
		}
		target ??= this.partOfConcat(value) ?? this.memory.make(value, root.label);
		this.places.set(value, target);
		this.push({
			kernel: "pointwise",
			label: root.label,
			operands: [...built.inputs, target],
			ints: built.ints(target.strides),
			floats: built.floats,
			scratch: null,
			choice: 0,
			commits: !target.storage.inArena,
		});
	}

	private emitOutput(value: Value): Storage {
		const source = this.strided(value);
		const own = source.storage.role === "temporary" && source.storage.bytes === bytesOf(value);
		if (own && source.offset === 0 && isContiguous(source)) return source.storage;
		const storage = this.memory.allocate(new Storage(bytesOf(value), value.dtype, `output ${value}`, "output"));
		this.copy(source, whole(storage, value), `output ${value}`);
		return storage;
	}

	private emitAssignments(): void {
		const copies: { from: StridedOperand; to: StridedOperand; label: string }[] = [];
		for (const { tensor, value } of this.assignments) {
			const to = whole(this.memory.state(tensor), value);
			let from = this.strided(value);
			if (from.storage === to.storage && from.offset === 0 && from.strides.join() === to.strides.join()) continue;
			const label = `assign ${tensor.name}`;
			// The source may itself be state that another assignment replaces: take it aside first.
			if (!from.storage.inArena) {
				const aside = this.memory.make(value, label);
				this.copy(from, aside, label);
				from = aside;
			}
			copies.push({ from, to, label });
		}
		for (const { from, to, label } of copies) this.copy(from, to, label);
	}

	// ---- memory

	/** Whether everything that reads the value has been emitted. */
	private readersDone(value: Value, except?: Node): boolean {
		if (this.outputs.includes(value) || this.assignments.some((a) => a.value === value && a.tensor !== stateOf(value)))
			return false;
		return this.uses.of(value).every((reader) => {
			if (reader === except || this.done.has(reader)) return true;
			const lazy = reader.op.view || reader.op.name === "concat";
			return !!lazy && reader.outputs.every((out) => this.readersDone(out, except));
		});
	}

	// ---- Lowering

	strided(value: Value): StridedOperand {
		const known = this.places.get(value);
		if (known) return known;
		const { node } = value;
		let place: StridedOperand;
		if (node.op.leaf) place = this.memory.leaf(value);
		else if (node.op.view) {
			const input = this.strided(node.inputs[0]!);
			let base = input;
			let view = node.op.view(input, node.attributes, value);
			if (!view) {
				base = this.compact(input, node);
				view = node.op.view(base, node.attributes, value);
			}
			if (!view) throw new GraphError(`${node.label} is no view of contiguous memory`);
			place = { storage: base.storage, dtype: base.dtype, ...view, extent: extentOf(view) };
		} else if (node.op.name === "concat") place = this.materialise(node);
		else throw new GraphError(`${node.label} was read before it was computed`);
		this.places.set(value, place);
		return place;
	}

	/** A contiguous copy of a view, made once. */
	private readonly compacted = new Map<StridedOperand, StridedOperand>();
	private compact(view: StridedOperand, node: Node): StridedOperand {
		let copy = this.compacted.get(view);
		if (!copy) {
			copy = this.memory.make(view, node.label);
			this.copy(view, copy, node.label);
			this.compacted.set(view, copy);
		}
		return copy;
	}

	stored(value: Value): Operand {
		const view = this.strided(value);
		return isContiguous(view) ? view : this.compact(view, value.node);
	}

	contiguous(value: Value): Operand {
		const view = this.strided(value);
		if (view.dtype === "f32" || view.dtype === "i32") return this.stored(value);
		let copy = this.f32Copies.get(value);
		if (!copy) {
			const target = this.memory.make(value, `${value.node.label} in f32`, "f32");
			this.copy(view, target, `${value.node.label} in f32`);
			this.f32Copies.set(value, target);
			copy = target;
		}
		return copy;
	}

	activation(value: Value): Operand {
		return this.device.readsHalves ? this.stored(value) : this.contiguous(value);
	}

	halves(...values: readonly (Value | null)[]): DType | null {
		const dtype = values[0]!.dtype;
		const half = this.device.readsHalves && (dtype === "f16" || dtype === "bf16");
		return half && values.every((value) => !value || value.dtype === dtype) ? dtype : null;
	}

	rows(value: Value, options: { batchAxes?: number; half?: boolean } = {}): PitchedOperand {
		const { batchAxes = 0, half = false } = options;
		const view = this.strided(value);
		const inPlace = view.dtype === "f32" || half ? this.pitched(view, batchAxes) : null;
		if (inPlace) return inPlace;
		const copy = half ? this.stored(value) : this.contiguous(value);
		const pitch = value.shape.at(-1)!;
		return { ...copy, pitch, batchStride: pitch * sizeOf(value.shape.slice(batchAxes, -1)) };
	}

	pitched(view: StridedOperand, batchAxes: number): PitchedOperand | null {
		return pitchedOf(view, batchAxes);
	}

	interleaved(value: Value): boolean {
		return this.interleavedWeights.has(value);
	}

	output(output: Value): Operand {
		const value = this.canonical(output);
		const final = this.memory.make(value, value.node.label);
		this.places.set(value, final);
		if (value.dtype === "f32" || value.dtype === "i32") return final;
		const f32 = this.memory.make(value, value.node.label, "f32");
		this.roundings.push({ from: f32, to: final, node: value.node });
		return f32;
	}

	outputIfUsed(output: Value): Operand | null {
		return this.uses.isUsed(this.canonical(output)) ? this.output(output) : null;
	}

	result(output: Value): Operand {
		if (!this.device.readsHalves) return this.output(output);
		const value = this.canonical(output);
		const place = this.memory.make(value, value.node.label);
		this.places.set(value, place);
		return place;
	}

	resultIfUsed(output: Value): Operand | null {
		return this.uses.isUsed(this.canonical(output)) ? this.result(output) : null;
	}

	packed(value: Value, packer: string, ints: readonly number[], dtype: DType = value.dtype): Operand | null {
		const frozen = frozenOf(value);
		if (!frozen || value.dtype === "i32") return null;
		const read = dtype === value.dtype ? value : value.graph.frozen(this.device.weights.inType(frozen, dtype));
		const storage = this.memory.weight(read, packer, ints);
		return { storage, offset: 0, dtype: storage.dtype, extent: storage.bytes / bytesPerElement(storage.dtype) };
	}

	inPlace(input: Value, output: Value): Operand {
		const node = output.node;
		const tensor = stateOf(input);
		const assigned = tensor && this.assignments.some((a) => a.tensor === tensor && a.value === output);
		if (assigned && this.readersDone(input, node)) {
			const place = this.strided(input);
			this.places.set(output, place);
			return place;
		}
		const copy = this.memory.make(output, node.label);
		this.copy(this.strided(input), copy, node.label);
		this.places.set(output, copy);
		return copy;
	}

	call(kernel: string, node: Node, call: KernelCall): void {
		this.requireKernel(kernel, node.label);
		const dtypes = call.operands.map((operand) => operand?.dtype ?? null);
		const choice = this.device.tuning.choice(this.device.native, { kernel, ints: call.ints, dtypes });
		const bytes = this.device.scratchBytes(kernel, call.ints, choice);
		const scratch =
			bytes > 0 ? this.memory.allocate(new Storage(bytes, "f32", `scratch of ${node.label}`, "temporary")) : null;
		const committed = call.operands.some(
			(operand) =>
				operand?.storage.role === "state" &&
				node.outputs.some((out) => this.places.get(out)?.storage === operand.storage),
		);
		this.push({
			kernel,
			label: node.label,
			operands: call.operands,
			ints: call.ints,
			floats: call.floats ?? [],
			scratch,
			choice,
			commits: committed,
		});
	}

	concat(node: Node): void {
		this.strided(node.outputs[0]!);
	}

	/** Storage of concats and, per input, the window it fills. */
	private readonly concats = new Map<Node, { target: StridedOperand; windows: StridedOperand[] }>();
	private concatStorage(node: Node): { target: StridedOperand; windows: StridedOperand[] } {
		let made = this.concats.get(node);
		if (!made) {
			const value = node.outputs[0]!;
			const axis = node.attributes.axis as number;
			const target = this.memory.make(value, node.label);
			let start = 0;
			const windows = (node.inputs as readonly Value[]).map((input) => {
				const window = { ...target, shape: input.shape, offset: start * target.strides[axis]! };
				start += input.shape[axis]!;
				return { ...window, extent: extentOf(window) };
			});
			made = { target, windows };
			this.concats.set(node, made);
		}
		return made;
	}

	/** Where a value goes that only a concat reads: straight into its window there. */
	private partOfConcat(value: Value): StridedOperand | null {
		const reader = this.uses.only(value);
		if (reader?.op.name !== "concat") return null;
		return this.concatStorage(reader).windows[reader.inputs.indexOf(value)]!;
	}

	private materialise(node: Node): StridedOperand {
		const { target, windows } = this.concatStorage(node);
		(node.inputs as readonly Value[]).forEach((input, i) => {
			const from = this.strided(input);
			if (from !== windows[i]) this.copy(from, windows[i]!, node.label);
		});
		this.done.add(node);
		return target;
	}

	private copy(from: StridedOperand, to: StridedOperand, label: string): void {
		if (sizeOf(to.shape) === 0) return;
		this.push({
			kernel: "copy",
			label,
			operands: [from, to],
			ints: [to.shape.length, ...to.shape, ...from.strides, ...to.strides],
			floats: [],
			scratch: null,
			choice: 0,
			commits: !to.storage.inArena,
		});
	}

	private flushRoundings(): void {
		const pending = this.roundings;
		this.roundings = [];
		for (const { from, to, node } of pending) this.copy(from, to, `${node.label} rounded`);
	}

	private requireKernel(kernel: string, label: string): void {
		if (!this.device.kernels.has(kernel))
			throw new GraphError(`${label} can't be compiled for ${this.device.kind}: that device has no kernel "${kernel}"`);
	}

	private push(call: EmittedCall): void {
		this.requireKernel(call.kernel, call.label);
		const index = this.calls.length;
		this.calls.push(call);
		for (const storage of [...call.operands.map((operand) => operand?.storage), call.scratch]) {
			if (!storage) continue;
			storage.firstUse = Math.min(storage.firstUse, index);
			storage.lastUse = Math.max(storage.lastUse, index);
		}
	}
}
