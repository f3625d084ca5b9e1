import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { FileError, FormatError } from "../../errors.js";
import { fileError, readWholeFile } from "../file-system.js";
import { isObject, MAX_HEADER, quote, type TensorEntry } from "./header.js";
import { type OpenSafetensors, openHeader, openSafetensors, SafetensorsFile } from "./reader.js";

const INDEX_ENDING = ".safetensors.index.json";

/** The names under which transformers and diffusers save the weights of a model folder, without ending. */
const STEMS = ["model", "diffusion_pytorch_model"];

/** How `openWeights` chooses in a folder. */
export interface OpenWeightsOptions {
	/** The variant a checkpoint was saved under, as in `model.<variant>.safetensors`, for example `fp16`. */
	variant?: string;
}

/**
 * Opens the weights of a model: a safetensors file, an index of shards (`….safetensors.index.json`), or a folder that
 * holds either under a usual name (`model`, `diffusion_pytorch_model`) or exactly one safetensors file under another.
 *
 * @throws FileError or FormatError naming the file and, for a folder, what it holds instead
 */
export async function openWeights(folderOrFile: string, options: OpenWeightsOptions = {}): Promise<SafetensorsFile> {
	let isFolder: boolean;
	try {
		isFolder = (await stat(folderOrFile)).isDirectory();
	} catch (error) {
		throw fileError(error, "read", folderOrFile);
	}
	const path = isFolder ? join(folderOrFile, await chooseFile(folderOrFile, options.variant)) : folderOrFile;
	return path.endsWith(".json") ? openSafetensorsIndex(path) : openSafetensors(path);
}

async function chooseFile(folder: string, variant: string | undefined): Promise<string> {
	let names: string[];
	try {
		names = (await readdir(folder)).sort();
	} catch (error) {
		throw fileError(error, "read", folder);
	}
	const ending = variant === undefined ? "" : `.${variant}`;
	const usual = STEMS.flatMap((stem) => [
		`${stem}${ending}.safetensors`,
		// transformers puts the variant before the last ending of the index, diffusers before its first.
		`${stem}.safetensors.index${ending}.json`,
		`${stem}${ending}${INDEX_ENDING}`,
	]);
	const found = usual.find((name) => names.includes(name));
	if (found !== undefined) return found;
	const weights = names.filter((name) => name.endsWith(".safetensors") && !name.startsWith("."));
	if (weights.length === 1 && variant === undefined) return weights[0]!;
	throw new FileError(
		"FILE_NOT_FOUND",
		folder,
		`cannot read weights from ${folder}: ${missing(names, weights, variant)}`,
	);
}

function missing(names: string[], weights: string[], variant: string | undefined): string {
	if (variant !== undefined) return `it has none of variant ${quote(variant)}; ${listing(weights)}`;
	if (weights.length > 0)
		return `none of its files has a usual name; name one of them: ${weights.slice(0, 5).join(", ")}`;
	const pickle = names.find((name) => /\.(bin|ckpt|pt|pth)$/.test(name));
	if (pickle !== undefined) return `it has no safetensors file, only ${pickle}`;
	return "it has no safetensors file";
}

function listing(weights: string[]): string {
	return weights.length === 0 ? "it has no safetensors file" : `it has ${weights.slice(0, 5).join(", ")}`;
}

/**
 * Opens the shards that an index lists, as one set. The index decides which shard a tensor is read from; tensors that only
 * shards know are left out, and a tensor that its shard lacks is an error.
 *
 * @param path an index as transformers and diffusers write it: `{ metadata, weight_map: { tensor: file } }`
 */
export async function openSafetensorsIndex(path: string): Promise<SafetensorsFile> {
	const { weightMap, metadata } = parseIndex(await readWholeFile(path, MAX_HEADER), path);
	const files = new Map<string, OpenSafetensors>();
	try {
		const tensors = new Map<string, TensorEntry>();
		for (const [tensor, shard] of weightMap) {
			let file = files.get(shard);
			if (file === undefined) {
				file = await openShard(path, shard);
				files.set(shard, file);
			}
			const entry = file.tensors.get(tensor);
			if (entry === undefined) throw bad(path, `it places tensor ${quote(tensor)} in ${shard}, which does not hold it`);
			tensors.set(tensor, entry);
		}
		return new SafetensorsFile(path, [...files.values()], tensors, metadata);
	} catch (error) {
		await Promise.all([...files.values()].map((file) => file.handle.close()));
		throw error;
	}
}

async function openShard(index: string, shard: string): Promise<OpenSafetensors> {
	const path = join(dirname(index), shard);
	try {
		return await openHeader(path);
	} catch (error) {
		if (!(error instanceof FileError) || error.code !== "FILE_NOT_FOUND") throw error;
		throw new FileError(
			error.code,
			path,
			`cannot read ${path}: it does not exist, but ${basename(index)} lists it; the download is not complete`,
			{ cause: error },
		);
	}
}

function parseIndex(bytes: Uint8Array, path: string): { weightMap: [string, string][]; metadata: Map<string, string> } {
	let root: unknown;
	try {
		root = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
	} catch {
		throw bad(path, "it is not JSON text");
	}
	if (!isObject(root) || !isObject(root.weight_map)) throw bad(path, "it has no weight_map from tensors to files");
	const weightMap = Object.entries(root.weight_map);
	for (const [tensor, shard] of weightMap) {
		// A name with a folder in it could lead anywhere on the machine.
		if (typeof shard !== "string" || !/^[^/\\\0]+\.safetensors$/.test(shard)) {
			throw bad(
				path,
				`it places tensor ${quote(tensor)} in ${quote(shard)}, which is not a safetensors file beside it`,
			);
		}
	}
	const metadata = isObject(root.metadata) ? Object.entries(root.metadata) : [];
	return {
		weightMap: weightMap as [string, string][],
		metadata: new Map(metadata.map(([key, value]) => [key, typeof value === "string" ? value : JSON.stringify(value)])),
	};
}

function bad(path: string, reason: string): FormatError {
	return new FormatError("BAD_SAFETENSORS_INDEX", path, `${path} is not a valid safetensors index: ${reason}`);
}
