// Contents of frozen weights on the host, for the interpreter.
import { DTYPE_CODES } from "@dreamdist/native-cuda";
import { DeviceError } from "../graph/errors.js";
import { frozenOf, type Node } from "../graph/graph.js";
import { sizeOf } from "../graph/types.js";
import type { Device } from "./device.js";
import { emptyStorage, fromStorage, type HostArray, type StorageArray } from "./host.js";
import type { FrozenTensor } from "./tensor.js";

/** Every frozen weight among the nodes, as f32 numbers (i32 as they are). */
export async function frozenContents(
	device: Device,
	nodes: readonly Node[],
): Promise<Map<FrozenTensor, ArrayLike<number>>> {
	const contents = new Map<FrozenTensor, ArrayLike<number>>();
	for (const node of nodes) {
		const tensor = node.op.leaf ? frozenOf(node.outputs[0]!) : null;
		if (tensor && !contents.has(tensor)) contents.set(tensor, await contentsOf(device, tensor));
	}
	return contents;
}

/** The numbers of a frozen tensor that is in arrays, as they are stored; null where it is elsewhere. */
export function arrayOf({ source, shape, dtype }: FrozenTensor): StorageArray | null {
	if ("data" in source) return source.data;
	if (!("joined" in source)) return null;
	const whole = emptyStorage(sizeOf(shape), dtype);
	let at = 0;
	for (const part of source.joined) {
		const array = arrayOf(part);
		if (array === null) return null;
		whole.set(array, at);
		at += array.length;
	}
	return whole;
}

/** The first `count` numbers of a frozen tensor, row-major; all of them by default. */
export async function contentsOf(device: Device, tensor: FrozenTensor, count?: number): Promise<HostArray> {
	return fromStorage(await storedContents(device, tensor, count), tensor.dtype);
}

/** The same as they are stored. */
export async function storedContents(
	device: Device,
	tensor: FrozenTensor,
	count: number = sizeOf(tensor.shape),
): Promise<StorageArray> {
	const { source } = tensor;
	if ("data" in source) return source.data.subarray(0, count);
	if ("read" in source) return (await source.read(device)).subarray(0, count);
	const raw = emptyStorage(count, tensor.dtype);
	if ("joined" in source) {
		let at = 0;
		for (const part of source.joined) {
			if (at === count) break;
			const contents = await storedContents(device, part, Math.min(count - at, sizeOf(part.shape)));
			raw.set(contents, at);
			at += contents.length;
		}
		return raw;
	}
	const { mapping, byteOffset } = source;
	const buffer = device.allocate(raw.byteLength);
	try {
		await packWeight(device, tensor, () =>
			device.native.pack(
				null,
				DTYPE_CODES[tensor.dtype],
				[],
				[{ source: mapping, byteOffset, bytes: raw.byteLength }],
				buffer,
			),
		);
		await device.native.read(buffer, 0, raw);
	} finally {
		buffer.dispose();
	}
	return raw;
}

/** Says which weight could not be packed. */
export async function packWeight(device: Device, tensor: FrozenTensor, pack: () => Promise<void>): Promise<void> {
	try {
		await pack();
	} catch (cause) {
		if (device.disposed) throw cause;
		throw new DeviceError(`weight "${tensor.name}" can't be used: ${(cause as Error).message}`, { cause });
	}
}
