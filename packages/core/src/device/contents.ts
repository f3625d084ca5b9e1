// Contents of frozen weights on the host, for the interpreter.
import { DTYPE_CODES } from "@dreamdist/native-cuda";
import { frozenOf, type Node } from "../graph/graph.js";
import type { Device } from "./device.js";
import { emptyStorage, fromStorage } from "./host.js";
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

async function contentsOf(device: Device, tensor: FrozenTensor): Promise<ArrayLike<number>> {
	const { source } = tensor;
	if ("data" in source) return fromStorage(source.data, tensor.dtype);
	if ("read" in source) return fromStorage(await source.read(), tensor.dtype);
	const raw = emptyStorage(
		tensor.shape.reduce((a, b) => a * b, 1),
		tensor.dtype,
	);
	const buffer = device.allocate(tensor.bytes);
	try {
		await device.native.pack(
			null,
			DTYPE_CODES[tensor.dtype],
			[],
			source.mapping,
			source.byteOffset,
			tensor.bytes,
			buffer,
		);
		await device.native.read(buffer, 0, raw);
	} finally {
		buffer.dispose();
	}
	return fromStorage(raw, tensor.dtype);
}
