// Frozen weights by name, for any number of graphs.
import type { Device } from "../device/device.js";
import { FrozenTensor } from "../device/tensor.js";
import type { Graph } from "../graph/graph.js";
import { type Shape, sameShape } from "../graph/types.js";
import { misshaped, openDoor, type WeightPart, type Weights } from "./door.js";

/** A shape without the ones at its end: a 1×1 convolution and a linear layer hold the same numbers. */
function essential(shape: Shape): Shape {
	let length = shape.length;
	while (length > 0 && shape[length - 1] === 1) length--;
	return shape.slice(0, length);
}

/** Whether a stored weight can serve where `asked` is wanted: the same shape but for ones at the end. */
export function fitsShape(stored: Shape, asked: Shape): boolean {
	return sameShape(essential(stored), essential(asked));
}

/**
 * The frozen weights of one network. A graph gets at them through `open`; every graph, and so every program, shares the same tensors and
 * with them the device's packed copies.
 */
export class WeightSet {
	/** Tensors under another shape, and stacks of several: each made once, so that devices pack it once. */
	private readonly derived = new Map<string, FrozenTensor>();

	/**
	 * @param tensors by the names the model asks for
	 * @param origin named in errors: where the weights come from
	 */
	constructor(
		readonly tensors: ReadonlyMap<string, FrozenTensor>,
		readonly origin: string,
	) {}

	/** Numbers in all weights together. */
	get parameters(): number {
		let total = 0;
		for (const { shape } of this.tensors.values()) total += shape.reduce((a, b) => a * b, 1);
		return total;
	}

	/** Bytes of all weights as stored. */
	get bytes(): number {
		let total = 0;
		for (const { bytes } of this.tensors.values()) total += bytes;
		return total;
	}

	/** The door for one graph. */
	open(graph: Graph): Weights {
		return openDoor(graph, {
			origin: this.origin,
			has: (name) => this.tensors.has(name),
			find: (name, shape) => {
				const tensor = this.tensors.get(name);
				return tensor ? graph.frozen(this.shaped(name, tensor, shape)) : null;
			},
			stack: (parts) => {
				const stacked = this.stacked(parts);
				return stacked && graph.frozen(stacked);
			},
		});
	}

	/** Lets a device's copies go. Programs that read them keep theirs until they are disposed. */
	release(device: Device): void {
		device.weights.release([...this.tensors.values(), ...this.derived.values()]);
	}

	/** Several weights in one tensor, made once; null where one is missing or their precisions differ. */
	private stacked(parts: readonly WeightPart[]): FrozenTensor | null {
		const tensors: FrozenTensor[] = [];
		for (const { name, shape } of parts) {
			const tensor = this.tensors.get(name);
			if (!tensor) return null;
			tensors.push(this.shaped(name, tensor, shape));
		}
		const [first] = tensors;
		if (!first || tensors.some(({ dtype }) => dtype !== first.dtype)) return null;
		const key = parts.map(({ name, shape }) => `${name}/${shape.join()}`).join(" ");
		return this.derive(key, () => {
			const rows = tensors.reduce((sum, { shape }) => sum + shape[0]!, 0);
			const name =
				tensors.length > 4 ? `${first.name} … ${tensors.at(-1)!.name}` : tensors.map((t) => t.name).join(", ");
			return new FrozenTensor(name, [rows, ...first.shape.slice(1)], first.dtype, { joined: tensors });
		});
	}

	private shaped(name: string, tensor: FrozenTensor, shape: Shape): FrozenTensor {
		if (sameShape(tensor.shape, shape)) return tensor;
		if (!fitsShape(tensor.shape, shape)) throw misshaped(this.origin, name, tensor.shape, shape);
		const { source, dtype } = tensor;
		return this.derive(`${name}/${shape.join()}`, () => new FrozenTensor(tensor.name, shape, dtype, source));
	}

	private derive(key: string, make: () => FrozenTensor): FrozenTensor {
		let tensor = this.derived.get(key);
		if (!tensor) {
			tensor = make();
			this.derived.set(key, tensor);
		}
		return tensor;
	}
}
