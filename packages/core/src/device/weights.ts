// The shared store of frozen weights: each layout of each weight once per device, whatever the number of programs.
import { DTYPE_CODES, type NativeBuffer } from "@dreamdist/native-cuda";
import type { DType } from "../graph/types.js";
import { contentsOf, packWeight, storedContents } from "./contents.js";
import type { Device } from "./device.js";
import { toStorage } from "./host.js";
import { type FrozenPlace, FrozenTensor } from "./tensor.js";

export interface HeldWeight {
	readonly buffer: NativeBuffer;
	/** Resolves when the bytes are there. */
	readonly ready: Promise<void>;
	/** One program fewer reads it. The bytes stay until `releaseUnused`. */
	readonly letGo: () => void;
}

interface PackedCopy {
	readonly buffer: NativeBuffer;
	readonly ready: Promise<void>;
	readonly bytes: number;
	/** Programs that read it. */
	readers: number;
}

function placesOf({ source, bytes }: FrozenTensor): { place: FrozenPlace; bytes: number }[] {
	return "joined" in source ? source.joined.flatMap(placesOf) : [{ place: source, bytes }];
}

export class WeightStore {
	private readonly held = new Map<FrozenTensor, Map<string, PackedCopy>>();

	/** Weights in another type than they are stored in, each made once. */
	private readonly converted = new Map<FrozenTensor, Map<DType, FrozenTensor>>();

	constructor(private readonly device: Device) {}

	/** A weight in another type: its numbers are converted when they are packed. */
	inType(tensor: FrozenTensor, dtype: DType): FrozenTensor {
		if (tensor.dtype === dtype) return tensor;
		let types = this.converted.get(tensor);
		if (!types) {
			types = new Map();
			this.converted.set(tensor, types);
		}
		let made = types.get(dtype);
		if (!made) {
			const { source } = tensor;
			const read = async (device: Device) => toStorage(await contentsOf(device, tensor), dtype);
			const from = "joined" in source ? { joined: source.joined.map((part) => this.inType(part, dtype)) } : { read };
			made = new FrozenTensor(tensor.name, tensor.shape, dtype, from);
			types.set(dtype, made);
		}
		return made;
	}

	/** Bytes of all copies. */
	get bytes(): number {
		let total = 0;
		for (const layouts of this.held.values()) for (const { bytes } of layouts.values()) total += bytes;
		return total;
	}

	private key(packer: string | null, ints: readonly number[]): string {
		return `${packer ?? "as stored"}/${ints.join()}`;
	}

	has(tensor: FrozenTensor, packer: string | null, ints: readonly number[]): boolean {
		return this.held.get(tensor)?.has(this.key(packer, ints)) ?? false;
	}

	/** The weight in a layout for one more program, packed now if it is not there yet. */
	hold(tensor: FrozenTensor, packer: string | null, ints: readonly number[], bytes: number): HeldWeight {
		let layouts = this.held.get(tensor);
		if (!layouts) {
			layouts = new Map();
			this.held.set(tensor, layouts);
		}
		const key = this.key(packer, ints);
		let weight = layouts.get(key);
		if (!weight) {
			const buffer = this.device.allocate(bytes);
			const ready = this.pack(tensor, packer, ints, buffer);
			ready.catch(() => undefined); // whoever waits for it hears of it
			weight = { buffer, ready, bytes, readers: 0 };
			layouts.set(key, weight);
		}
		const copy = weight;
		copy.readers++;
		return { buffer: copy.buffer, ready: copy.ready, letGo: () => copy.readers-- };
	}

	private async pack(
		tensor: FrozenTensor,
		packer: string | null,
		ints: readonly number[],
		into: NativeBuffer,
	): Promise<void> {
		const parts = await Promise.all(
			placesOf(tensor).map(async ({ place, bytes }) => {
				if ("mapping" in place) return { source: place.mapping, byteOffset: place.byteOffset, bytes };
				return { source: "data" in place ? place.data : await place.read(this.device), byteOffset: 0, bytes };
			}),
		);
		const dtype = DTYPE_CODES[tensor.dtype];
		try {
			await packWeight(this.device, tensor, () => this.device.native.pack(packer, dtype, [...ints], parts, into));
		} catch (error) {
			// Read by itself, the part that is wrong says its own name.
			if ("joined" in tensor.source) await storedContents(this.device, tensor);
			throw error;
		}
	}

	/** Lets the copies go that no program reads. */
	releaseUnused(): void {
		for (const [tensor, layouts] of this.held) {
			for (const [key, { buffer, readers }] of layouts) {
				if (readers > 0) continue;
				buffer.dispose();
				layouts.delete(key);
			}
			if (layouts.size === 0) this.held.delete(tensor);
		}
	}

	/** Lets all copies of the weights go. Programs that read them must be disposed first. */
	release(tensors: Iterable<FrozenTensor>): void {
		for (const tensor of tensors) {
			for (const { buffer } of this.held.get(tensor)?.values() ?? []) buffer.dispose();
			this.held.delete(tensor);
			const others = this.converted.get(tensor);
			this.converted.delete(tensor);
			if (others) this.release(others.values());
		}
	}

	dispose(): void {
		this.release([...this.held.keys()]);
	}
}
