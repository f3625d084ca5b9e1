// Frozen weights by name, for any number of graphs.
import type { Device } from "../device/device.js";
import { FrozenTensor } from "../device/tensor.js";
import type { Graph } from "../graph/graph.js";
import { type Shape, sameShape } from "../graph/types.js";
import { misshaped, openDoor, type Weights } from "./door.js";

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
	/** A tensor under a shape that differs from the stored one, made once, so that devices pack it once. */
	private readonly reshaped = new Map<string, FrozenTensor>();

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
		});
	}

	/** Lets a device's copies go. Programs that read them keep theirs until they are disposed. */
	release(device: Device): void {
		device.weights.release([...this.tensors.values(), ...this.reshaped.values()]);
	}

	private shaped(name: string, tensor: FrozenTensor, shape: Shape): FrozenTensor {
		if (sameShape(tensor.shape, shape)) return tensor;
		if (!fitsShape(tensor.shape, shape)) throw misshaped(this.origin, name, tensor.shape, shape);
		const key = `${name}/${shape.join()}`;
		let view = this.reshaped.get(key);
		if (!view) {
			view = new FrozenTensor(tensor.name, shape, tensor.dtype, tensor.source);
			this.reshaped.set(key, view);
		}
		return view;
	}
}
