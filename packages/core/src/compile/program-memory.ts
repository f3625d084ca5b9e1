// The virtual memory of a program that is being emitted: its inputs, states, weights, constants and temporaries.
import type { Device } from "../device/device.js";
import type { Tensor } from "../device/tensor.js";
import { GraphError } from "../graph/errors.js";
import { constantData, frozenOf, inputName, stateOf, type Value } from "../graph/graph.js";
import { bytesOf, bytesPerElement, type DType, sizeOf, type Type } from "../graph/types.js";
import type { StridedOperand } from "./lowering.js";
import { Storage } from "./storage.js";
import { whole } from "./views.js";

/** A frozen weight in a layout: packed by `packer`, or null as stored. */
export interface PlannedWeight {
	readonly storage: Storage;
	readonly value: Value;
	readonly packer: string | null;
	readonly ints: readonly number[];
}

export class ProgramMemory {
	/** What lies in the arena. */
	readonly storages = new Set<Storage>();
	readonly inputs = new Map<Value, Storage>();
	readonly states = new Map<Tensor, Storage>();
	readonly weights: PlannedWeight[] = [];
	readonly constants: { storage: Storage; value: Value }[] = [];
	private readonly weightStorages = new Map<string, Storage>();

	constructor(private readonly device: Device) {}

	allocate(storage: Storage): Storage {
		this.storages.add(storage);
		return storage;
	}

	/** A new temporary for a value of this type. */
	make({ shape, dtype: own }: Pick<Type, "shape" | "dtype">, name: string, dtype: DType = own): StridedOperand {
		const bytes = sizeOf(shape) * bytesPerElement(dtype);
		return whole(this.allocate(new Storage(bytes, dtype, name, "temporary")), { shape });
	}

	state(tensor: Tensor): Storage {
		let storage = this.states.get(tensor);
		if (!storage) {
			if (tensor.device !== this.device) throw new GraphError(`state "${tensor.name}" lives on another device`);
			storage = new Storage(tensor.bytes, tensor.dtype, `state ${tensor.name}`, "state");
			storage.buffer = tensor.buffer;
			this.states.set(tensor, storage);
		}
		return storage;
	}

	/** A frozen weight as a packer lays it out; null: as stored. */
	weight(value: Value, packer: string | null, ints: readonly number[]): Storage {
		const key = `${value.node.id}/${packer}/${ints.join()}`;
		let storage = this.weightStorages.get(key);
		if (!storage) {
			const tensor = frozenOf(value)!;
			const bytes = packer ? this.device.packedBytes(packer, tensor.dtype, ints) : tensor.bytes;
			storage = new Storage(bytes, tensor.dtype, `weight ${tensor.name}`, "weight");
			this.weightStorages.set(key, storage);
			this.weights.push({ storage, value, packer, ints });
		}
		return storage;
	}

	/** Where a value lies that nothing computes. */
	leaf(value: Value): StridedOperand {
		const tensor = stateOf(value);
		if (tensor) return whole(this.state(tensor), value);
		if (inputName(value) !== null) {
			const storage = this.allocate(new Storage(bytesOf(value), value.dtype, `input ${inputName(value)}`, "input"));
			this.inputs.set(value, storage);
			return whole(storage, value);
		}
		if (constantData(value)) {
			const storage = new Storage(bytesOf(value), value.dtype, `constant ${value}`, "constant");
			this.constants.push({ storage, value });
			return whole(storage, value);
		}
		return whole(this.weight(value, null, []), value);
	}
}
