// Random numbers for new networks: the same for a seed on every device.
import {
	cast,
	type Device,
	type DType,
	mul,
	philoxNormal,
	reshape,
	type Shape,
	sizeOf,
	type Tensor,
	type TensorData,
} from "@dreamdist/core";

/** Numbers drawn by one run. Part of what a seed means: another size would draw other numbers. */
const CHUNK = 2 ** 16;

export type WeightDtype = "f32" | "f16" | "bf16";

const SAFETENSORS_DTYPE = { f32: "F32", f16: "F16", bf16: "BF16" } as const;
const ARRAYS = { f32: Float32Array, f16: Uint16Array, bf16: Uint16Array } as const;

/** Draws normal numbers on a device, in their storage precision. */
export class RandomWeights implements Disposable {
	private constructor(
		private readonly device: Device,
		private readonly dtype: WeightDtype,
		private readonly chunk: Tensor,
		private readonly draw: (key: Int32Array, std: number) => Promise<unknown>,
		private readonly release: () => void,
	) {}

	static async open(device: Device, dtype: WeightDtype): Promise<RandomWeights> {
		const chunk = await device.tensor([CHUNK], { name: "random weights", dtype: dtype satisfies DType });
		const program = await device.compile((graph) => {
			const normal = philoxNormal(graph.input("key", [1, 4], "i32"), CHUNK);
			graph.assign(chunk, cast(mul(reshape(normal, [CHUNK]), graph.input("std")), dtype));
			return {};
		});
		const release = () => {
			program.dispose();
			chunk.dispose();
		};
		return new RandomWeights(device, dtype, chunk, (key, std) => program.run({ key, std }), release);
	}

	/**
	 * A tensor for a safetensors file, drawn when its turn to be written comes: N(0, 1/√fan-in) with two or more axes; ones for the scales
	 * of normalisations and zeros for biases.
	 *
	 * @param index number of the tensor in its network: each has random numbers of its own
	 * @param seed a whole number from 0 on
	 */
	tensor(name: string, shape: Shape, index: number, seed: number, signal?: AbortSignal): TensorData {
		const size = sizeOf(shape);
		const data = async () => {
			const out = new ARRAYS[this.dtype](size);
			if (shape.length < 2) return name.endsWith(".weight") ? out.fill(ONE[this.dtype]) : out;
			const std = 1 / Math.sqrt(size / shape[0]!);
			for (let start = 0; start < size; start += CHUNK) {
				signal?.throwIfAborted();
				await this.draw(Int32Array.of(seed, Math.floor(seed / 2 ** 32), index, start / CHUNK), std);
				const part = out.subarray(start, Math.min(size, start + CHUNK));
				await this.device.native.read(this.chunk.buffer, 0, part);
			}
			return out;
		};
		return { dtype: SAFETENSORS_DTYPE[this.dtype], shape, data };
	}

	dispose(): void {
		this.release();
	}

	[Symbol.dispose](): void {
		this.dispose();
	}
}

/** 1 in each precision, as stored. */
const ONE = { f32: 1, f16: 0x3c00, bf16: 0x3f80 } as const;
