// A device whose programs are run by the float64 interpreter: what methods compute, whatever kernels there are.
import type { HostArray } from "../../src/device/host.js";
import { sizeOf } from "../../src/graph/types.js";
import { type Device, type DType, Graph, interpret, type Shape, type Tensor, type Value } from "../../src/index.js";

class InterpretedTensor {
	disposed = false;
	contents: Float64Array;

	constructor(
		readonly device: InterpretedDevice,
		readonly name: string,
		readonly shape: Shape,
		readonly dtype: DType,
	) {
		this.contents = new Float64Array(sizeOf(shape));
	}

	get size(): number {
		return this.contents.length;
	}

	get bytes(): number {
		return this.contents.length * 4;
	}

	async write(data: ArrayLike<number>): Promise<void> {
		if (data.length !== this.size) throw new Error(`${data.length} numbers for ${this.size}`);
		this.contents = this.device.stored(data);
	}

	async read(): Promise<HostArray> {
		return Float32Array.from(this.contents);
	}

	dispose(): void {
		this.disposed = true;
	}
}

class InterpretedDevice {
	readonly kind = "interpreter";
	readonly isa = "float64";
	readonly threads = 1;
	readonly memoryLimit = 2 ** 40;
	compilations = 0;

	constructor(private readonly rounded: boolean) {}

	stored(data: ArrayLike<number>): Float64Array {
		return Float64Array.from(data, this.rounded ? Math.fround : (value) => value);
	}

	get memory() {
		return { weights: 0, state: 0, arena: 0, fixed: 0, limit: this.memoryLimit };
	}

	async tensor(shape: Shape, options: { name?: string; dtype?: DType; data?: ArrayLike<number> } = {}) {
		const tensor = new InterpretedTensor(this, options.name ?? "tensor", [...shape], options.dtype ?? "f32");
		if (options.data) await tensor.write(options.data);
		return tensor;
	}

	async compile(build: (graph: Graph) => Record<string, Value>) {
		this.compilations++;
		const graph = new Graph();
		const outputs = build(graph);
		const run = async (inputs: Record<string, number | ArrayLike<number>> = {}) => {
			const data = Object.fromEntries(
				Object.entries(inputs).map(([name, value]) => [name, typeof value === "number" ? [value] : value]),
			);
			const names = new Set(graph.inputs.map((value) => value.node.attributes.name as string));
			for (const name of Object.keys(data)) if (!names.has(name)) throw new Error(`there is no input "${name}"`);
			for (const name of names) if (!(name in data)) throw new Error(`input "${name}" was not given`);
			const wanted = [...Object.values(outputs), ...graph.assignments.map(({ value }) => value)];
			const contents = interpret(wanted, {
				inputs: data,
				state: (tensor) => (tensor as unknown as InterpretedTensor).contents,
			});
			for (const { tensor, value } of graph.assignments)
				(tensor as unknown as InterpretedTensor).contents = this.stored(contents.get(value)!);
			return Object.fromEntries(
				Object.entries(outputs).map(([name, value]) => [name, Float32Array.from(contents.get(value)!)]),
			);
		};
		return { run, kernelCalls: 0, dispose: () => {}, memory: { peak: 0 }, outputs };
	}
}

/** The interpreter behind the interface of a device. With `rounded`, state is kept in f32 as on a real device. */
export function interpretedDevice(options: { rounded?: boolean } = {}): Device {
	return new InterpretedDevice(options.rounded ?? false) as unknown as Device;
}

/** The float64 contents of a tensor of an interpreted device. */
export function exactContents(tensor: Tensor): Float64Array {
	return (tensor as unknown as InterpretedTensor).contents;
}
