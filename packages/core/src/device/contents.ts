// Contents of frozen weights on the host, for the interpreter.
import { DTYPE_CODES } from "@dreamdist/native-cuda";
import { frozenOf, type Node } from "../graph/graph.js";
import { sizeOf } from "../graph/types.js";
import type { Device } from "./device.js";
import { emptyStorage, fromStorage, type HostArray } from "./host.js";
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

/** The first `count` numbers of a frozen tensor, row-major; all of them by default. */
export async function contentsOf(
	device: Device,
	tensor: FrozenTensor,
	count: number = sizeOf(tensor.shape),
): Promise<HostArray> {
	const { source } = tensor;
	if ("data" in source) return fromStorage(source.data.subarray(0, count), tensor.dtype);
	if ("read" in source) return fromStorage((await source.read()).subarray(0, count), tensor.dtype);
	const raw = emptyStorage(count, tensor.dtype);
	const { mapping, byteOffset } = source;
	const buffer = device.allocate(raw.byteLength);
	try {
		await device.native.pack(null, DTYPE_CODES[tensor.dtype], [], mapping, byteOffset, raw.byteLength, buffer);
		await device.native.read(buffer, 0, raw);
	} finally {
		buffer.dispose();
	}
	return fromStorage(raw, tensor.dtype);
}
