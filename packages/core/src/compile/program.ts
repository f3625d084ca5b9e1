// A compiled graph, ready to run any number of times.
import { loadNative, type NativeBuffer, type NativeProgram } from "@dreamdist/native-cuda";
import type { Device } from "../device/device.js";
import { emptyStorage, fromStorage, type HostArray, toStorage } from "../device/host.js";
import type { HeldWeight } from "../device/weights.js";
import { DeviceError, DisposedError, GraphError, ShapeError } from "../graph/errors.js";
import { type Graph, inputName, type Node, type Value } from "../graph/graph.js";
import { formatShape, formatType } from "../graph/types.js";
import type { ActivationType } from "./activations.js";
import { type CheckReport, checkProgram } from "./check.js";
import type { Emitted } from "./emitter.js";
import { printProgram } from "./print.js";

/** A program's memory in bytes, known before any of it is allocated. */
export interface ProgramMemory {
	/** Every packed copy of the weights it reads (shared with other programs). */
	readonly weights: number;
	/** State it reads or updates, and its constants. */
	readonly state: number;
	/** The arena it needs; programs of one device share the largest. */
	readonly arena: number;
	/** Scratch of the threads and the like. */
	readonly fixed: number;
	/** The sum. */
	readonly peak: number;
}

/** Numbers for an input: one number for a scalar, else as many as it has elements, row-major. */
export type InputData = number | ArrayLike<number>;

export interface RunOptions {
	/** Stops before the next kernel, unless state is being written already. The promise rejects with the signal's reason. */
	signal?: AbortSignal;
	/** Fill the arena with NaN first: what is read before it is written shows. */
	poison?: boolean;
}

interface Parts<K extends string> {
	device: Device;
	name: string;
	graph: Graph;
	nodes: readonly Node[];
	outputNames: readonly K[];
	outputs: readonly Value[];
	activations: ActivationType;
	/** Whether products of f32 are computed in tf32. */
	tf32: boolean;
	emitted: Emitted;
	native: NativeProgram;
	memory: ProgramMemory;
	constants: readonly NativeBuffer[];
	weights: readonly HeldWeight[];
}

/** Made by `Device.compile`. */
export class Program<K extends string = string> implements Disposable {
	readonly device: Device;
	readonly name: string;
	readonly memory: ProgramMemory;
	/** The graph it was compiled from and the values behind its outputs, for the interpreter. */
	readonly graph: Graph;
	readonly outputs: Readonly<Record<K, Value>>;
	private readonly parts: Parts<K>;
	private readonly inputs: readonly Value[];
	private isDisposed = false;

	constructor(parts: Parts<K>) {
		this.parts = parts;
		this.device = parts.device;
		this.name = parts.name;
		this.memory = parts.memory;
		this.graph = parts.graph;
		this.inputs = [...parts.emitted.inputs.keys()];
		this.outputs = Object.fromEntries(parts.outputNames.map((name, i) => [name, parts.outputs[i]!])) as Record<
			K,
			Value
		>;
	}

	get disposed(): boolean {
		return this.isDisposed;
	}

	/** Bytes of its own constants. */
	get constantBytes(): number {
		return this.parts.constants.reduce((sum, buffer) => sum + buffer.bytes, 0);
	}

	/** How many kernels one run calls. */
	get kernelCalls(): number {
		return this.parts.emitted.calls.length;
	}

	/** Runs once. Inputs are copied before this returns; runs of one device happen in the order of their calls. */
	async run(inputs: Readonly<Record<string, InputData>> = {}, options: RunOptions = {}): Promise<Record<K, HostArray>> {
		return (await this.execute(inputs, options, null)).results;
	}

	/**
	 * Runs once and tells how long each kernel call took, in microseconds, on the device's own clock.
	 *
	 * @param options.cold each call finds other data in the device's caches, as in a network larger than they are
	 */
	async profile(
		inputs: Readonly<Record<string, InputData>> = {},
		options: { cold?: boolean } = {},
	): Promise<{ kernel: string; label: string; microseconds: number }[]> {
		const times = new Float64Array(this.kernelCalls);
		await this.execute(inputs, {}, times, options.cold);
		return this.parts.emitted.calls.map(({ kernel, label }, i) => ({ kernel, label, microseconds: times[i]! }));
	}

	/**
	 * Runs every op by itself and compares it with the float64 interpreter; names the first op whose result is not finite or off.
	 * State is not changed. Slow: meant for finding errors.
	 */
	async check(
		inputs: Readonly<Record<string, InputData>> = {},
		options: { bound?: number } = {},
	): Promise<CheckReport> {
		this.alive();
		const { activations, tf32, nodes } = this.parts;
		const bound = options.bound ?? (activations !== "f32" ? 0.1 : tf32 ? 1e-2 : 1e-4);
		return checkProgram(this.device, nodes, this.graph, this.named(inputs), bound, tf32);
	}

	/** The kernel list with shapes, memory and where each operand lies. */
	toString(): string {
		return printProgram(this.name, this.parts.emitted, this.memory);
	}

	/** Frees it after the runs in flight. Weights stay in the device's store. */
	dispose(): void {
		if (this.isDisposed) return;
		this.isDisposed = true;
		this.parts.native.dispose();
		for (const buffer of this.parts.constants) buffer.dispose();
		for (const weight of this.parts.weights) weight.letGo();
		this.device.forget(this);
	}

	[Symbol.dispose](): void {
		this.dispose();
	}

	private alive(): void {
		if (this.isDisposed) throw new DisposedError(`program "${this.name}"`);
	}

	private named(inputs: Readonly<Record<string, InputData>>): Record<string, ArrayLike<number>> {
		const out: Record<string, ArrayLike<number>> = {};
		for (const value of this.inputs) {
			const name = inputName(value)!;
			const given = inputs[name];
			if (given === undefined)
				throw new GraphError(`${this.name}: input "${name}" (${formatType(value)}) was not given`);
			const data = typeof given === "number" ? [given] : given;
			if (data.length !== value.size)
				throw new ShapeError(
					`${this.name}: input "${name}" ${formatShape(value.shape)} has ${value.size} elements; ${data.length} were given`,
				);
			out[name] = data;
		}
		for (const name of Object.keys(inputs))
			if (!(name in out))
				throw new GraphError(
					`${this.name}: there is no input "${name}"; its inputs are ${this.inputs.map((v) => `"${inputName(v)}"`).join(", ") || "none"}`,
				);
		return out;
	}

	private async execute(
		inputs: Readonly<Record<string, InputData>>,
		options: RunOptions,
		profile: Float64Array | null,
		cold = false,
	) {
		this.alive();
		options.signal?.throwIfAborted();
		const data = this.named(inputs);
		const inputArrays = this.inputs.map((value) => toStorage(data[inputName(value)!]!, value.dtype));
		const raw = this.parts.outputs.map((value) => emptyStorage(value.size, value.dtype));
		const { signal } = options;
		const flag = signal ? new (loadNative().NativeAbortFlag)() : null;
		const raise = () => flag?.raise();
		signal?.addEventListener("abort", raise, { once: true });
		try {
			await this.device.native.run(this.parts.native, inputArrays, raw, flag, options.poison ?? false, profile, cold);
		} catch (error) {
			if ((error as { code?: string }).code === "ABORTED" && signal?.aborted) throw signal.reason;
			throw new DeviceError(`${this.name}: ${(error as Error).message}`, { cause: error });
		} finally {
			signal?.removeEventListener("abort", raise);
		}
		const results = Object.fromEntries(
			this.parts.outputNames.map((name, i) => [name, fromStorage(raw[i]!, this.parts.outputs[i]!.dtype)]),
		);
		return { results: results as Record<K, HostArray> };
	}
}
