// The addon's surface, typed. Thin: arguments are checked in C++, meaning is given by @dreamdist/core.

/** Which form of programs and objects the addon must take; native/include/dreamdist/device.h has the same number. */
export const ADDON_INTERFACE = 1;

/** Element types, as the addon numbers them. */
export const DTYPE_CODES = { f32: 0, f16: 1, bf16: 2, i32: 3 } as const;

export type NativeArray = Float32Array | Float64Array | Int32Array | Uint16Array | Uint8Array;

/** Device memory outside the arena: state or a packed weight. Zero when made. */
export interface NativeBuffer {
	readonly bytes: number;
	dispose(): void;
}

/** A file mapped read-only, to pack weights from. */
export interface NativeFileMapping {
	readonly bytes: number;
	dispose(): void;
}

/** Stops a run before its next kernel, as long as that kernel comes before the first that writes state. */
export interface NativeAbortFlag {
	raise(): void;
}

export interface NativeProgram {
	dispose(): void;
}

/** A program in flat form; native/include/dreamdist/device.h says what each number means. */
export interface ProgramDescription {
	kernels: string[];
	/** One per call, for errors. */
	labels: string[];
	/** Per call: kernel, scratch byte offset, choice, n, slots…, n, integers…, n, floats…. */
	code: Float64Array;
	/** Per slot: buffer index or -1 for the arena, byte offset, dtype code, bytes. */
	slots: Float64Array;
	buffers: NativeBuffer[];
	/** Per input: byte offset, bytes. */
	inputs: Float64Array;
	outputs: Float64Array;
	arenaBytes: number;
	/** Index of the first call that writes state. */
	commit: number;
}

export interface NativeDevice {
	readonly isa: string;
	readonly threads: number;
	readonly arenaBytes: number;
	readonly kernels: string[];
	/** Free memory of a card, in bytes; 0 where the device's memory is the machine's. */
	readonly freeBytes: number;
	/** @throws an error with the code "MEMORY" where there is too little */
	allocate(bytes: number): NativeBuffer;
	/** Takes a copy of `data` now and writes it in queue order. */
	write(buffer: NativeBuffer, byteOffset: number, data: NativeArray): Promise<void>;
	read(buffer: NativeBuffer, byteOffset: number, into: NativeArray): Promise<void>;
	packedBytes(packer: string, dtype: number, ints: number[]): number;
	/** The parts follow one another. `packer` null copies the bytes as they are. */
	pack(
		packer: string | null,
		dtype: number,
		ints: number[],
		parts: { source: NativeFileMapping | NativeArray; byteOffset: number; bytes: number }[],
		into: NativeBuffer,
	): Promise<void>;
	scratchBytes(kernel: string, ints: number[], choice?: number): number;
	/** How a call could be run besides the kernel's own estimate (native/include/dreamdist/kernels.h, TileChoice). dtypes: −1 for an absent operand. */
	choices(kernel: string, ints: number[], dtypes: number[]): number[];
	createProgram(description: ProgramDescription): NativeProgram;
	run(
		program: NativeProgram,
		inputs: NativeArray[],
		outputs: (NativeArray | null)[],
		abort: NativeAbortFlag | null,
		poison: boolean,
		profile: Float64Array | null,
		/** Times of a profile are taken with other data in the device's caches. */
		cold?: boolean,
	): Promise<void>;
	/** Makes the arena large enough for the program now, not in its first run; rejects with the code "MEMORY" where there is too little. */
	prepare(program: NativeProgram): Promise<void>;
	/** Runs every kernel on a small shape; rejects with the name of the first that does not compute what the CPU computes. */
	selfTest(): Promise<void>;
	/** Resolves when everything queued before it is done. */
	idle(): Promise<void>;
	/** Stops the worker; what is queued is dropped. */
	dispose(): void;
}

/** How the binary was built and what this machine offers it. */
export interface NativeInfo {
	compiler: string;
	buildType: string;
	napi: number;
	/** Instruction sets: `usable` best first. */
	cpu: { usable: string[]; built: string[] };
	/** Whether this is the module of the tests, with the emulated CUDA device in place of real ones. */
	emulated: boolean;
	/** Null: built without CUDA. */
	cuda: null | {
		devices: number;
		cards: { name: string; capability: string; totalBytes: number }[];
		/** The oldest compute capability that the kernels run on, e.g. "8.0". */
		leastCapability: string;
		/** Version of the runtime in the binary, e.g. 13000. */
		runtime: number;
		/** Newest runtime the driver supports; 0: there is no driver. */
		driver: number;
		/** Why there are no devices; empty if there are. */
		error: string;
	};
}

export interface NativeModule {
	readonly interface: number;
	/** `kind`: "cpu" (the default), "cuda:N" or "cuda-emulated". */
	NativeDevice: new (
		isa: string,
		threads: number,
		kind?: string,
	) => NativeDevice;
	NativeFileMapping: new (path: string) => NativeFileMapping;
	NativeAbortFlag: new () => NativeAbortFlag;
	info(): NativeInfo;
}
