// Handles to what lives outside a program: state that programs read and update, weights that never change.
import type { NativeBuffer, NativeFileMapping } from "@dreamdist/native-cuda";
import { DisposedError, ShapeError } from "../graph/errors.js";
import { bytesOf, type DType, formatShape, type Shape, sizeOf, type Type } from "../graph/types.js";
import type { Device } from "./device.js";
import { fromStorage, type HostArray, type StorageArray, toStorage } from "./host.js";

/** Persistent state on a device: learnable tokens, optimiser moments, latents between steps. Zero when made. */
export class Tensor implements Type, Disposable {
	private released = false;

	/** Made by `Device.tensor`. */
	constructor(
		readonly device: Device,
		readonly name: string,
		readonly shape: Shape,
		readonly dtype: DType,
		private readonly memory: NativeBuffer,
	) {}

	get size(): number {
		return sizeOf(this.shape);
	}

	get bytes(): number {
		return bytesOf(this);
	}

	get disposed(): boolean {
		return this.released;
	}

	/** The native memory, for programs. */
	get buffer(): NativeBuffer {
		if (this.released) throw new DisposedError(`tensor "${this.name}"`);
		return this.memory;
	}

	/** Replaces the contents, in order with the runs queued before and after. `data` is taken now. */
	async write(data: ArrayLike<number>): Promise<void> {
		if (data.length !== this.size)
			throw new ShapeError(
				`tensor "${this.name}" ${formatShape(this.shape)} has ${this.size} elements; ${data.length} were given`,
			);
		await this.device.native.write(this.buffer, 0, toStorage(data, this.dtype));
	}

	/** The contents after the runs queued so far: i32 as Int32Array, everything else as Float32Array. */
	async read(): Promise<HostArray> {
		const raw = toStorage(new Float32Array(this.size), this.dtype);
		await this.device.native.read(this.buffer, 0, raw);
		return fromStorage(raw, this.dtype);
	}

	dispose(): void {
		if (this.released) return;
		this.released = true;
		this.device.forget(this);
		this.memory.dispose();
	}

	[Symbol.dispose](): void {
		this.dispose();
	}
}

/** One place where bytes are: a range of a mapped file, an array, or an array made whenever a device packs it. */
export type FrozenPlace =
	| { readonly mapping: NativeFileMapping; readonly byteOffset: number }
	| { readonly data: StorageArray }
	| { readonly read: (device: Device) => StorageArray | Promise<StorageArray> };

/** Where the bytes of a frozen tensor are: in one place, or one after another in other tensors of its precision. */
export type FrozenSource = FrozenPlace | { readonly joined: readonly FrozenTensor[] };

/** A weight that no program changes. Devices pack it into the layouts their kernels read, each once. */
export class FrozenTensor implements Type {
	constructor(
		readonly name: string,
		readonly shape: Shape,
		/** As stored; it stays so in memory. */
		readonly dtype: DType,
		readonly source: FrozenSource,
	) {
		if ("data" in source && source.data.length !== sizeOf(shape))
			throw new ShapeError(
				`weight "${name}" ${formatShape(shape)} has ${sizeOf(shape)} elements; ${source.data.length} were given`,
			);
	}

	get bytes(): number {
		return bytesOf(this);
	}
}
