// From a graph to a program: dead code, fusion, kernel calls, the memory plan, and the native program.
import { DTYPE_CODES, type NativeBuffer, type NativeProgram } from "@dreamdist/native-cuda";
import type { Device } from "../device/device.js";
import { emptyStorage, fromStorage, type HostArray, toStorage } from "../device/host.js";
import type { HeldWeight } from "../device/weights.js";
import { GraphError, InsufficientMemoryError } from "../graph/errors.js";
import {
	type Assignment,
	constantData,
	frozenOf,
	type Graph,
	inputName,
	type Node,
	type Value,
} from "../graph/graph.js";
import { bytesPerElement } from "../graph/types.js";
import { nodesBehind } from "../interpret/interpreter.js";
import { type ActivationType, storeActivationsIn } from "./activations.js";
import { type Emitted, emit } from "./emitter.js";
import { planArena } from "./plan.js";
import { Program, type ProgramMemory } from "./program.js";
import type { Storage } from "./storage.js";
import { hasTf32, roundProductsToTf32 } from "./tf32.js";

export interface CompileOptions {
	/** For printouts and errors. */
	name?: string;
	/** Fuse elementwise chains and residuals. Default: as the device says; off to test fusion itself, and for yardsticks. */
	fuse?: boolean;
	/** What activations are stored in. Default: the device's choice. */
	activations?: ActivationType;
	/** Compute products of f32 in tf32. Default: the device's choice. */
	tf32?: boolean;
	/** What could be changed to need less memory, for the refusal of a plan that does not fit. */
	lessMemory?: readonly string[];
	signal?: AbortSignal;
}

export async function compileGraph<K extends string>(
	device: Device,
	graph: Graph,
	outputs: Record<K, Value>,
	options: CompileOptions,
): Promise<Program<K>> {
	const names = Object.keys(outputs) as K[];
	const values = names.map((name) => outputs[name]);
	for (const value of values)
		if (value.graph !== graph) throw new GraphError("compile: an output belongs to another graph");
	const written = {
		graph,
		nodes: liveNodes(graph, values),
		outputs: values as readonly Value[],
		assignments: graph.assignments as readonly Assignment[],
	};
	const activations = options.activations ?? device.activations;
	const stored =
		activations === "f32"
			? written
			: storeActivationsIn(activations, device.weights, written.nodes, values, graph.assignments);
	const fuse = options.fuse ?? !device.unfused;
	const wantsTf32 = options.tf32 ?? device.tf32;
	const tf32 = wantsTf32 && hasTf32(device, !fuse);
	const compiled = wantsTf32 && !tf32 ? roundProductsToTf32(stored.nodes, stored.outputs, stored.assignments) : stored;
	const emitted = emit(device, compiled.nodes, compiled.outputs, compiled.assignments, { fuse, tf32 });
	device.onCompiled?.(emitted.calls);
	const arena = planArena(emitted.storages);
	const memory = planMemory(device, emitted, arena);
	refuseIfTooLarge(device, emitted, memory, options);
	const { bound, native } = await allocate(device, emitted, arena, options.signal).catch((error) => {
		throw isOutOfMemory(error) ? refusedByDevice(device, memory, options, error) : error;
	});
	return new Program({
		device,
		name: options.name ?? "program",
		graph: compiled.graph,
		nodes: compiled.nodes,
		outputNames: names,
		outputs: compiled.outputs,
		activations,
		tf32: wantsTf32,
		emitted,
		native,
		memory,
		...bound,
	});
}

/** Everything that the program needs on the device, allocated and filled. */
async function allocate(device: Device, emitted: Emitted, arenaBytes: number, signal?: AbortSignal) {
	const bound = await bindBuffers(device, emitted, signal);
	let native: NativeProgram | null = null;
	try {
		native = device.native.createProgram(describe(emitted, arenaBytes));
		// A card's memory is its own: whether it is enough shows now, not after minutes of other work.
		if (device.native.freeBytes > 0) await device.native.prepare(native);
		return { bound, native };
	} catch (error) {
		native?.dispose();
		unbind(bound);
		throw error;
	}
}

/** Runs emitted calls once, for checks: nothing is kept. */
export async function runEmitted(
	device: Device,
	emitted: Emitted,
	inputs: Readonly<Record<string, ArrayLike<number>>>,
	outputs: readonly Value[],
): Promise<HostArray[]> {
	const arena = planArena(emitted.storages);
	const bound = await bindBuffers(device, emitted);
	const native = device.native.createProgram(describe(emitted, arena));
	try {
		const given = [...emitted.inputs.keys()].map((value) => toStorage(inputs[inputName(value)!]!, value.dtype));
		const raw = outputs.map((value) => emptyStorage(value.size, value.dtype));
		await device.native.run(native, given, raw, null, false, null);
		return raw.map((data, i) => fromStorage(data, outputs[i]!.dtype));
	} finally {
		native.dispose();
		unbind(bound);
	}
}

/** What the outputs and the assignments need, and every declared input. */
function liveNodes(graph: Graph, outputs: readonly Value[]): Node[] {
	return nodesBehind([...graph.inputs, ...outputs, ...graph.assignments.map((a) => a.value)]);
}

function planMemory(device: Device, emitted: Emitted, arena: number): ProgramMemory {
	const weights = emitted.weights.reduce((sum, { storage }) => sum + storage.bytes, 0);
	let state = emitted.constants.reduce((sum, { storage }) => sum + storage.bytes, 0);
	for (const storage of emitted.states.values()) state += storage.bytes;
	const { fixed } = device.memory;
	return { weights, state, arena, fixed, peak: weights + state + arena + fixed };
}

const isOutOfMemory = (error: unknown): error is Error => (error as { code?: string }).code === "MEMORY";

const planned = ({ weights, state, arena, fixed }: ProgramMemory): string =>
	`weights ${gib(weights)}, state ${gib(state)}, arena ${gib(arena)}, fixed ${gib(fixed)}`;

const advice = ({ lessMemory }: CompileOptions): string =>
	lessMemory?.length ? ` To need less: ${lessMemory.join("; ")}.` : "";

/** The plan fitted into what was free when the device was opened, and the device has refused it all the same. */
function refusedByDevice(device: Device, memory: ProgramMemory, options: CompileOptions, error: Error): Error {
	// What was packed for it need not stand in the way of a smaller one.
	device.releaseUnusedWeights();
	return new InsufficientMemoryError(
		`${options.name ?? "the program"} needs ${gib(memory.peak)} on ${device.kind} (${planned(memory)}), and ${error.message}; ` +
			`${gib(device.memoryLimit)} were free when it was opened, so other work holds the rest.${advice(options)}`,
		memory.peak,
		device.memoryLimit,
	);
}

const gib = (bytes: number) =>
	bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(2)} GiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;

function refuseIfTooLarge(device: Device, emitted: Emitted, memory: ProgramMemory, options: CompileOptions): void {
	const held = device.memory;
	let more = emitted.constants.reduce((sum, { storage }) => sum + storage.bytes, 0);
	for (const { storage, value, packer, ints } of emitted.weights)
		if (!device.weights.has(frozenOf(value)!, packer, ints)) more += storage.bytes;
	const needed = held.weights + held.state + more + Math.max(held.arena, memory.arena) + held.fixed;
	if (needed <= device.memoryLimit) return;
	throw new InsufficientMemoryError(
		`${options.name ?? "the program"} needs ${gib(needed)} on ${device.kind} (${planned(memory)}), ` +
			`but only ${gib(device.memoryLimit)} may be used.${advice(options)}`,
		needed,
		device.memoryLimit,
	);
}

/** What a program has in buffers outside the arena: its own constants, and weights of the device's store. */
interface BoundBuffers {
	readonly constants: readonly NativeBuffer[];
	readonly weights: readonly HeldWeight[];
}

function unbind({ constants, weights }: BoundBuffers): void {
	for (const buffer of constants) buffer.dispose();
	for (const weight of weights) weight.letGo();
}

/** Allocates and fills what lives in buffers of its own. */
async function bindBuffers(device: Device, emitted: Emitted, signal?: AbortSignal): Promise<BoundBuffers> {
	const pending: Promise<void>[] = [];
	const weights: HeldWeight[] = [];
	const constants: NativeBuffer[] = [];
	try {
		for (const { storage, value, packer, ints } of emitted.weights) {
			if (signal?.aborted) break;
			const weight = device.weights.hold(frozenOf(value)!, packer, ints, storage.bytes);
			storage.buffer = weight.buffer;
			weights.push(weight);
			pending.push(weight.ready);
		}
		for (const { storage, value } of emitted.constants) {
			const buffer = device.allocate(storage.bytes);
			constants.push(buffer);
			storage.buffer = buffer;
			pending.push(device.native.write(buffer, 0, toStorage(constantData(value)!, value.dtype)));
		}
		await unlessAborted(Promise.all(pending), signal);
	} catch (error) {
		// What is on its way is let go when it has come.
		await Promise.allSettled(signal?.aborted ? [] : pending);
		unbind({ constants, weights });
		throw error;
	}
	return { constants, weights };
}

/** Packing the weights of a large model takes seconds: whoever stops it need not wait for what is queued. */
function unlessAborted<T>(work: Promise<T>, signal?: AbortSignal): Promise<T> {
	if (!signal) return work;
	return new Promise((resolve, reject) => {
		const abort = () => reject(signal.reason);
		if (signal.aborted) abort();
		signal.addEventListener("abort", abort, { once: true });
		work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
	});
}

function describe(emitted: Emitted, arenaBytes: number) {
	const kernels: string[] = [];
	const kernelIndex = new Map<string, number>();
	const buffers: NativeBuffer[] = [];
	const bufferIndex = new Map<Storage, number>();
	const slots: number[] = [];
	const slotIndex = new Map<string, number>();
	const storageIndex = new Map<Storage, number>();
	const code: number[] = [];
	const indexOf = <T>(map: Map<T, number>, key: T, add: () => void): number => {
		let index = map.get(key);
		if (index === undefined) {
			index = map.size;
			map.set(key, index);
			add();
		}
		return index;
	};
	let commit = emitted.calls.findIndex((call) => call.commits);
	if (commit < 0) commit = emitted.calls.length;
	for (const call of emitted.calls) {
		code.push(indexOf(kernelIndex, call.kernel, () => kernels.push(call.kernel)));
		code.push(call.scratch?.arenaOffset ?? 0, call.choice, call.operands.length);
		for (const operand of call.operands) {
			if (!operand) {
				code.push(-1);
				continue;
			}
			const { storage, offset, dtype, extent } = operand;
			const id = indexOf(storageIndex, storage, () => undefined);
			const size = bytesPerElement(dtype);
			const slot = indexOf(slotIndex, `${id}/${offset}/${dtype}/${extent}`, () => {
				const buffer = storage.inArena ? -1 : indexOf(bufferIndex, storage, () => buffers.push(storage.buffer!));
				slots.push(
					buffer,
					(storage.inArena ? storage.arenaOffset : 0) + offset * size,
					DTYPE_CODES[dtype],
					extent * size,
				);
			});
			code.push(slot);
		}
		code.push(call.ints.length, ...call.ints, call.floats.length, ...call.floats);
	}
	const region = (storage: Storage) => [storage.arenaOffset, storage.bytes];
	return {
		kernels,
		labels: emitted.calls.map((call) => call.label),
		code: Float64Array.from(code),
		slots: Float64Array.from(slots),
		buffers,
		inputs: Float64Array.from([...emitted.inputs.values()].flatMap(region)),
		outputs: Float64Array.from(emitted.outputs.flatMap(region)),
		arenaBytes,
		commit,
	};
}
