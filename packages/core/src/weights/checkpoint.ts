// Weights on disk as frozen tensors: mapped, never copied, in the precision they are stored in.
import { loadNative, type NativeFileMapping } from "@dreamdist/native-cuda";
import { type OpenWeightsOptions, openWeights, type SafetensorsDtype } from "../data/safetensors/index.js";
import { openTorch } from "../data/torch/index.js";
import { toStorage } from "../device/host.js";
import { FrozenTensor } from "../device/tensor.js";
import { FileError } from "../errors.js";
import type { DType } from "../graph/types.js";

const STORED: Partial<Record<SafetensorsDtype, DType>> = { F32: "f32", F16: "f16", BF16: "bf16", I32: "i32" };

export interface OpenCheckpointOptions extends OpenWeightsOptions {
	/** Hold floats in this precision instead of the stored one; converted whenever a device packs them. */
	dtype?: "f32" | "f16" | "bf16" | undefined;
}

/** Files of torch.save, by their names. */
const TORCH_FILE = /\.(pt|pth|bin|ckpt)$/i;

/** Named tensors, however they are stored. */
interface TensorSource {
	readonly paths: readonly string[];
	readonly tensors: readonly StoredTensor[];
	readonly metadata: ReadonlyMap<string, string>;
	readF32(name: string): Promise<Float32Array>;
	close(): Promise<void>;
}

interface StoredTensor {
	readonly name: string;
	readonly shape: readonly number[];
	readonly dtype: SafetensorsDtype;
	/** Where its bytes lie as they are; null where they have to be gathered or inflated. */
	readonly place: { readonly path: string; readonly byteOffset: number } | null;
}

async function openSource(folderOrFile: string, options: OpenWeightsOptions): Promise<TensorSource> {
	if (TORCH_FILE.test(folderOrFile)) {
		const torch = await openTorch(folderOrFile);
		return {
			paths: [folderOrFile],
			tensors: [...torch.tensors.values()],
			metadata: new Map(),
			readF32: (name) => torch.readF32(name),
			close: () => torch.close(),
		};
	}
	const file = await openWeights(folderOrFile, options);
	return {
		paths: file.paths,
		tensors: [...file.tensors.values()].map((entry) => ({ ...entry, place: entry })),
		metadata: file.metadata,
		readF32: (name) => file.readF32(name),
		close: () => file.close(),
	};
}

/**
 * The tensors of one safetensors file, or of the shards of one model. The files stay mapped until it is disposed, which must not be before
 * the last program that reads them is compiled; devices hold copies of their own.
 */
export class Checkpoint implements Disposable {
	private constructor(
		/** The file or folder it was opened from. */
		readonly path: string,
		/** Everything a program can read. Float64 is read as float32. */
		readonly tensors: ReadonlyMap<string, FrozenTensor>,
		/** Tensors of other types (64-bit integers, say), which no model here reads. */
		readonly others: readonly string[],
		/** Free text pairs of the file. */
		readonly metadata: ReadonlyMap<string, string>,
		/** Open only where tensors are converted as they are read. */
		private readonly file: TensorSource | null,
		private readonly mappings: readonly NativeFileMapping[],
	) {}

	/**
	 * Opens a safetensors file, an index of shards, or a folder that holds either (see `openWeights`); or a file of torch.save, whose
	 * tensors are named by their place in it (see `openTorch`: no code in it is executed).
	 *
	 * @throws FileError or FormatError naming the file
	 */
	static async open(folderOrFile: string, options: OpenCheckpointOptions = {}): Promise<Checkpoint> {
		const file = await openSource(folderOrFile, options);
		const mappings = new Map<string, NativeFileMapping>();
		try {
			const { NativeFileMapping } = loadNative();
			for (const path of file.paths) mappings.set(path, map(path, NativeFileMapping));
			const tensors = new Map<string, FrozenTensor>();
			const others: string[] = [];
			let converts = false;
			for (const { name, shape, dtype, place } of file.tensors) {
				const stored = STORED[dtype];
				const wanted = stored === "i32" ? stored : (options.dtype ?? stored ?? "f32");
				if (stored === wanted && place) {
					const { path, byteOffset } = place;
					tensors.set(name, new FrozenTensor(name, shape, stored, { mapping: mappings.get(path)!, byteOffset }));
				} else if ((stored && stored !== "i32") || dtype === "F64") {
					converts = true;
					const read = async () => toStorage(await file.readF32(name), wanted);
					tensors.set(name, new FrozenTensor(name, shape, wanted, { read }));
				} else others.push(name);
			}
			if (!converts) await file.close();
			return new Checkpoint(folderOrFile, tensors, others, file.metadata, converts ? file : null, [
				...mappings.values(),
			]);
		} catch (error) {
			for (const mapping of mappings.values()) mapping.dispose();
			await file.close();
			throw error;
		}
	}

	/** Unmaps and closes the files. */
	dispose(): void {
		for (const mapping of this.mappings) mapping.dispose();
		// Nobody can act on a failure to close a file that was only read.
		this.file?.close().catch(() => undefined);
	}

	[Symbol.dispose](): void {
		this.dispose();
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
