// .npz: a zip archive of .npy arrays.
import { FormatError } from "../../errors.js";
import { ZipArchive } from "../archive/zip-reader.js";
import { writeZip } from "../archive/zip-writer.js";
import { quote } from "../safetensors/header.js";
import { formatNpyHeader, readNpyNumbers, readNpyTexts } from "./npy.js";

/** Largest array that is read, in bytes. */
const MAX_ARRAY = 2 ** 31;

/** An open .npz file. Arrays of Python objects, which are pickles, are never read. */
export class NpzFile {
	private constructor(private readonly archive: ZipArchive) {}

	/** @throws FileError or FormatError naming the file */
	static async open(path: string): Promise<NpzFile> {
		return new NpzFile(await ZipArchive.open(path));
	}

	/** Names of the arrays. */
	get names(): string[] {
		return [...this.archive.members.keys()].filter((name) => name.endsWith(".npy")).map((name) => name.slice(0, -4));
	}

	/** An array of any real numbers, row-major. */
	numbers(name: string): Promise<{ shape: readonly number[]; data: Float64Array }> {
		return this.read(name, readNpyNumbers);
	}

	/** An array of texts. */
	texts(name: string): Promise<string[]> {
		return this.read(name, readNpyTexts);
	}

	async close(): Promise<void> {
		await this.archive.close();
	}

	private async read<T>(name: string, parse: (bytes: Uint8Array) => T): Promise<T> {
		const { path } = this.archive;
		const fail = (reason: string) => new FormatError("BAD_NPZ", path, `${path} can't be read: ${reason}`);
		if (!this.names.includes(name))
			throw fail(`it has no array ${quote(name)}, only ${this.names.slice(0, 8).map(quote).join(", ") || "none"}`);
		const bytes = await this.archive.read(this.archive.member(`${name}.npy`), MAX_ARRAY);
		try {
			return parse(bytes);
		} catch (error) {
			throw fail(`array ${quote(name)}: ${(error as Error).message}`);
		}
	}
}

/** An array to store. */
export type NpzArray =
	| { readonly shape: readonly number[]; readonly data: Float64Array | Float32Array }
	| { readonly texts: readonly string[] };

/** Writes arrays as `numpy.savez` does, whole or not at all. */
export async function writeNpz(path: string, arrays: Readonly<Record<string, NpzArray>>): Promise<void> {
	const members = Object.entries(arrays).map(([name, array]) => {
		const pieces = "texts" in array ? textPieces(array.texts) : numberPieces(array.shape, array.data);
		return { name: `${name}.npy`, pieces };
	});
	await writeZip(path, members);
}

function numberPieces(shape: readonly number[], data: Float64Array | Float32Array): Uint8Array[] {
	const descr = data instanceof Float64Array ? "<f8" : "<f4";
	return [formatNpyHeader(descr, shape), new Uint8Array(data.buffer, data.byteOffset, data.byteLength)];
}

function textPieces(texts: readonly string[]): Uint8Array[] {
	const points = texts.map((text) => [...text].map((character) => character.codePointAt(0)!));
	const length = Math.max(1, ...points.map((list) => list.length));
	const data = new Uint32Array(texts.length * length);
	points.forEach((list, i) => {
		data.set(list, i * length);
	});
	return [formatNpyHeader(`<U${length}`, [texts.length]), new Uint8Array(data.buffer)];
}
