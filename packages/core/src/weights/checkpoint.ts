// Weights on disk as frozen tensors: mapped, never copied, in the precision they are stored in.
import { loadNative, type NativeFileMapping } from "@dreamdist/native-cuda";
import {
	type OpenWeightsOptions,
	openWeights,
	type SafetensorsDtype,
	type SafetensorsFile,
} from "../data/safetensors/index.js";
import { FrozenTensor } from "../device/tensor.js";
import { FileError } from "../errors.js";
import type { DType } from "../graph/types.js";

const STORED: Partial<Record<SafetensorsDtype, DType>> = { F32: "f32", F16: "f16", BF16: "bf16", I32: "i32" };

/**
 * The tensors of one safetensors file, or of the shards of one model. The files stay mapped until it is disposed, which must not be before
 * the last program that reads them is compiled; devices hold copies of their own.
 */
export class Checkpoint implements AsyncDisposable {
	private constructor(
		/** The file or folder it was opened from. */
		readonly path: string,
		/** Everything a program can read. Float64 is read as float32. */
		readonly tensors: ReadonlyMap<string, FrozenTensor>,
		/** Tensors of other types (64-bit integers, say), which no model here reads. */
		readonly others: readonly string[],
		/** Free text pairs of the file. */
		readonly metadata: ReadonlyMap<string, string>,
		private readonly file: SafetensorsFile,
		private readonly mappings: readonly NativeFileMapping[],
	) {}

	/**
	 * Opens a safetensors file, an index of shards, or a folder that holds either (see `openWeights`).
	 *
	 * @throws FileError or FormatError naming the file
	 */
	static async open(folderOrFile: string, options: OpenWeightsOptions = {}): Promise<Checkpoint> {
		const file = await openWeights(folderOrFile, options);
		const mappings = new Map<string, NativeFileMapping>();
		try {
			const { NativeFileMapping } = loadNative();
			for (const path of file.paths) mappings.set(path, map(path, NativeFileMapping));
			const tensors = new Map<string, FrozenTensor>();
			const others: string[] = [];
			for (const { name, shape, dtype, path, byteOffset } of file.tensors.values()) {
				const stored = STORED[dtype];
				const mapping = mappings.get(path)!;
				if (stored) tensors.set(name, new FrozenTensor(name, shape, stored, { mapping, byteOffset }));
				else if (dtype === "F64")
					tensors.set(name, new FrozenTensor(name, shape, "f32", { read: () => file.readF32(name) }));
				else others.push(name);
			}
			return new Checkpoint(folderOrFile, tensors, others, file.metadata, file, [...mappings.values()]);
		} catch (error) {
			for (const mapping of mappings.values()) mapping.dispose();
			await file.close();
			throw error;
		}
	}

	/** A tensor's numbers as float32. */
	async read(name: string): Promise<Float32Array> {
		return this.file.readF32(name);
	}

	/** Unmaps and closes the files. */
	async dispose(): Promise<void> {
		for (const mapping of this.mappings) mapping.dispose();
		await this.file.close();
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.dispose();
	}
}

function map(path: string, Mapping: new (path: string) => NativeFileMapping): NativeFileMapping {
	try {
		return new Mapping(path);
	} catch (cause) {
		throw new FileError("FILE_UNREADABLE", path, `cannot map ${path} into memory: ${(cause as Error).message}`, {
			cause,
		});
	}
}
