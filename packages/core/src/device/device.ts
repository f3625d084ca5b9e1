// A device: what programs run on, and all memory that is on it.
import os from "node:os";
import {
	cardReason,
	cudaReason,
	DTYPE_CODES,
	emulatedReason,
	loadAddon,
	loadNative,
	type NativeBuffer,
	type NativeDevice,
	readMemory,
	useEmulatedAddon,
} from "@dreamdist/native-cuda";
import type { ActivationType } from "../compile/activations.js";
import { type CompileOptions, compileGraph } from "../compile/compile.js";
import type { EmittedCall } from "../compile/emitter.js";
import type { Program } from "../compile/program.js";
import { hasTf32 } from "../compile/tf32.js";
import { DisposedError, GraphError } from "../graph/errors.js";
import { Graph, type Value } from "../graph/graph.js";
import { bytesOf, checkShape, type DType, type Shape } from "../graph/types.js";
import { Tuning, tuningFolder } from "../tune/tuning.js";
import { FrozenTensor, Tensor } from "./tensor.js";
import { WeightStore } from "./weights.js";

export interface DeviceOptions {
	/** Threads of the CPU's team. Default: DD_NUM_THREADS, or the cores this process may use. */
	threads?: number;
	/** Instruction set of the CPU kernels: "auto", "avx512", "avx2", "neon" or "generic". Default: DD_CPU_ISA, or the best. */
	isa?: string;
	/** Bytes that weights, state and arena may take together. Default: what the machine (or its container) has free, less a reserve. */
	memoryLimit?: number;
	/**
	 * What programs store activations in. "f16" and "bf16" compute on a card's tensor cores, with f32 sums; learnables, their moments and
	 * losses stay f32. On the CPU each result is rounded to that type, which is slower. Default "f32".
	 */
	activations?: ActivationType | undefined;
	/**
	 * Compute products of f32 (matmul, convolutions and their gradients; not attention) in tf32 on a card's tensor cores: operands are
	 * rounded to ten bits after the point, a relative error of 2⁻¹¹, and sums stay f32. Several times faster than f32. Weights stored in
	 * 16 bits are held in f32. The CPU has no tf32 and refuses it, unless it is `unfused`. Default false.
	 */
	tf32?: boolean;
	/**
	 * Compile without fusion: every op is a pass of its own, and its result is rounded to its type. Slow and memory-hungry; the naive
	 * computation that low precision is measured by. Default false.
	 */
	unfused?: boolean;
	/**
	 * Folder with what `tune` has measured on cards; null: programs are compiled by the kernels' own estimates. Default: DD_TUNING, or
	 * `dreamdist/tuning` in the user's cache.
	 */
	tuning?: string | null;
}

/** Memory of a device, in bytes. */
export interface DeviceMemory {
	/** Every packed copy of every weight. */
	weights: number;
	/** Tensors and constants. */
	state: number;
	/** The one arena that the programs share: the largest of their plans. */
	arena: number;
	/** Thread stacks, scratch and the like. */
	fixed: number;
	limit: number;
}

/** Scratch that each thread of the team may keep; native/include/dreamdist/thread_team.h. */
const SCRATCH_PER_THREAD = 8 << 20;

/** A device and its worker. Everything made on it is let go with it. */
export class Device implements Disposable {
	/** How many graphs were compiled; a run never adds to it. */
	compilations = 0;
	readonly weights: WeightStore;
	/** The kernels it has; a program that needs another can't be compiled for it. */
	readonly kernels: ReadonlySet<string>;
	private readonly tensors = new Set<Tensor>();
	private readonly programs = new Set<Program>();
	private isDisposed = false;
	/** Told the kernel calls of every program that is compiled. */
	onCompiled: ((calls: readonly EmittedCall[]) => void) | null = null;

	/** Made by `openDevice`. */
	constructor(
		/** "cpu", "cuda:N" or "cuda-emulated" */
		readonly kind: string,
		private readonly handle: NativeDevice,
		readonly memoryLimit: number,
		/** What its programs store activations in, unless they are compiled for another type. */
		readonly activations: ActivationType = "f32",
		/** Whether its programs are compiled without fusion, unless they ask for it. */
		readonly unfused = false,
		/** How calls were measured to be computed fastest here. */
		readonly tuning: Tuning = new Tuning(kind, null),
		/** Whether its programs compute products of f32 in tf32, unless they ask for something else. */
		readonly tf32 = false,
	) {
		this.weights = new WeightStore(this);
		this.kernels = new Set(handle.kernels);
		if (tf32) hasTf32(this, unfused);
	}

	get native(): NativeDevice {
		if (this.isDisposed) throw new DisposedError("the device");
		return this.handle;
	}

	get isa(): string {
		return this.native.isa;
	}

	get threads(): number {
		return this.native.threads;
	}

	/** Whether its kernels read and write 16-bit activations themselves. */
	get readsHalves(): boolean {
		return this.kind !== "cpu";
	}

	get disposed(): boolean {
		return this.isDisposed;
	}

	/** One line about the device, for the user. */
	toString(): string {
		const arithmetic = [
			...(this.activations === "f32" ? [] : [this.activations]),
			...(this.tf32 ? ["f32 products in tf32"] : []),
		];
		const threads = `${this.threads} ${this.threads === 1 ? "thread" : "threads"}`;
		return `${this.kind} (${[this.isa, threads, ...arithmetic].join(", ")})`;
	}

	/** New persistent state, zero or filled with `data`. */
	async tensor(
		shape: Shape,
		options: { dtype?: DType; name?: string; data?: ArrayLike<number> } = {},
	): Promise<Tensor> {
		const name = options.name ?? `tensor ${this.tensors.size}`;
		checkShape(name, shape);
		const type = { shape: [...shape], dtype: options.dtype ?? "f32" } as const;
		const tensor = new Tensor(this, name, type.shape, type.dtype, this.allocate(bytesOf(type)));
		this.tensors.add(tensor);
		if (options.data) await tensor.write(options.data);
		return tensor;
	}

	/**
	 * Traces `build` into a graph and compiles it. The result's keys name the program's outputs.
	 *
	 * ```ts
	 * const program = await device.compile((graph) => {
	 *   const x = graph.input("x", [2, 3]);
	 *   return { y: matmul(x, transpose(x)) };
	 * });
	 * const { y } = await program.run({ x: [1, 2, 3, 4, 5, 6] });
	 * ```
	 */
	async compile<K extends string>(
		build: (graph: Graph) => Record<K, Value>,
		options: CompileOptions = {},
	): Promise<Program<K>> {
		const graph = new Graph();
		const outputs = build(graph);
		this.compilations++;
		const program = await compileGraph(this, graph, outputs, options);
		this.programs.add(program);
		return program;
	}

	/** What is allocated now. */
	get memory(): DeviceMemory {
		let state = 0;
		for (const tensor of this.tensors) state += tensor.bytes;
		let arena = 0;
		for (const program of this.programs) {
			state += program.constantBytes;
			arena = Math.max(arena, program.memory.arena);
		}
		return {
			weights: this.weights.bytes,
			state,
			arena,
			fixed: this.threads * SCRATCH_PER_THREAD,
			limit: this.memoryLimit,
		};
	}

	allocate(bytes: number): NativeBuffer {
		return this.native.allocate(bytes);
	}

	packedBytes(packer: string, dtype: DType, ints: readonly number[]): number {
		return this.native.packedBytes(packer, DTYPE_CODES[dtype], [...ints]);
	}

	scratchBytes(kernel: string, ints: readonly number[], choice = 0): number {
		return this.native.scratchBytes(kernel, [...ints], choice);
	}

	/**
	 * Frees the packed copies of weights that no program reads any more, such as a text encoder's after its last prompt. A program that
	 * needs one later packs it anew.
	 */
	releaseUnusedWeights(): void {
		this.weights.releaseUnused();
	}

	/** Waits for everything queued so far. */
	async idle(): Promise<void> {
		await this.native.idle();
	}

	forget(owned: Tensor | Program): void {
		if (owned instanceof Tensor) this.tensors.delete(owned);
		else this.programs.delete(owned);
	}

	/** Lets everything go: waits for the run in flight (the rest of the queue is dropped), then programs, tensors and weights. */
	dispose(): void {
		if (this.isDisposed) return;
		this.handle.dispose();
		for (const program of [...this.programs]) program.dispose();
		for (const tensor of [...this.tensors]) tensor.dispose();
		this.weights.dispose();
		this.isDisposed = true;
	}

	[Symbol.dispose](): void {
		this.dispose();
	}
}

function threadCount(option?: number): number {
	const fromEnvironment = process.env.DD_NUM_THREADS;
	const threads = option ?? (fromEnvironment ? Number(fromEnvironment) : os.availableParallelism());
	if (!Number.isInteger(threads) || threads < 1 || threads > 1024)
		throw new GraphError(
			`${option === undefined ? "DD_NUM_THREADS" : "threads"} must be a whole number from 1 to 1024, not ${option ?? fromEnvironment}`,
		);
	return threads;
}

/** Throws the reason where a device can't be had here. Loads the addon that has it. */
function requireDevice(spec: string): void {
	let reason: string | undefined;
	if (spec === "cuda-emulated") {
		reason = emulatedReason();
		if (reason === undefined)
			try {
				useEmulatedAddon();
			} catch (error) {
				reason = (error as Error).message;
			}
	} else if (spec !== "cpu") {
		const info = loadNative().info();
		reason = cudaReason(info, loadAddon().build);
		if (reason === undefined && info.cuda !== null) reason = cardReason(info.cuda, Number(spec.slice("cuda:".length)));
	}
	if (reason !== undefined)
		throw new GraphError(
			`device "${spec}" is not available: ${reason}; use "cpu" (${"`dreamdist doctor`"} lists the devices)`,
		);
}

/** A card computes what the CPU computes, or is refused: no machine has every card to test on. Takes a fraction of a second. */
async function testCard(kind: string, handle: NativeDevice): Promise<void> {
	try {
		await handle.selfTest();
	} catch (error) {
		handle.dispose();
		throw new GraphError(`device "${kind}" failed its test and is not used: ${(error as Error).message}`);
	}
}

/**
 * Opens a device.
 *
 * @param spec "cpu"; "cuda" or "cuda:N", a card; "auto", the CPU; "cuda-emulated", the device of the tests: one per process, which
 * must open it before it loads anything else of the engine. Where a device is not there the error says why.
 */
export async function openDevice(spec = "auto", options: DeviceOptions = {}): Promise<Device> {
	if (!/^(auto|cpu|cuda(:\d+)?|cuda-emulated)$/.test(spec))
		throw new GraphError(`there is no device "${spec}"; choose auto, cpu, cuda, cuda:N or cuda-emulated`);
	const { activations = "f32" } = options;
	if (!["f32", "f16", "bf16"].includes(activations))
		throw new GraphError(`activations are stored in f32, f16 or bf16, not ${activations}`);
	const kind = spec === "auto" ? "cpu" : spec === "cuda" ? "cuda:0" : spec;
	requireDevice(kind);
	const { NativeDevice } = loadNative();
	const isa = options.isa ?? process.env.DD_CPU_ISA ?? "auto";
	let handle: NativeDevice;
	try {
		handle = new NativeDevice(isa, threadCount(options.threads), kind);
	} catch (error) {
		if (error instanceof GraphError) throw error;
		throw new GraphError((error as Error).message);
	}
	if (kind.startsWith("cuda:")) await testCard(kind, handle);
	const limit = options.memoryLimit ?? Math.floor((handle.freeBytes || readMemory().availableBytes) * 0.95);
	try {
		return new Device(kind, handle, limit, activations, options.unfused, tuningOf(kind, options.tuning), options.tf32);
	} catch (error) {
		handle.dispose();
		throw error;
	}
}

/** What was measured on cards like this one. The emulated device, whose times mean nothing, asks no file but one that is named. */
function tuningOf(kind: string, given: string | null | undefined): Tuning {
	const named = process.env.DD_TUNING?.trim() ? tuningFolder() : null;
	if (kind === "cpu") return new Tuning("the processor", null);
	const isEmulated = kind === "cuda-emulated";
	const card = isEmulated ? null : loadNative().info().cuda!.cards[Number(kind.slice("cuda:".length))]!;
	const name = card === null ? kind : `${card.name} ${card.capability}`;
	const folder = given === undefined ? (isEmulated ? named : tuningFolder()) : given;
	return folder === null ? new Tuning(name, null) : Tuning.load(name, folder);
}

export { FrozenTensor, Tensor };
