// Custom Diffusion's weights as diffusers has them: the trained projections under the names of attention processors, and a file per word.
import { join } from "node:path";
import {
	ArgumentError,
	type Checkpoint,
	FormatError,
	type FrozenTensor,
	type Shape,
	type TensorData,
	writeSafetensors,
} from "@dreamdist/core";
import type { NetworkChange } from "../model-change.js";

export const WEIGHTS_FILE = "pytorch_custom_diffusion_weights.safetensors";

/** `….attn2.to_out.0.bias` ↔ `….attn2.processor.to_out_custom_diffusion.0.bias` */
const OURS = /^(.*\.attn2)\.(to_[qkv]|to_out)\.(.*)$/;
const THEIRS = /^(?:unet\.)?(.*\.attn2)\.processor\.(to_[qkv]|to_out)_custom_diffusion\.(.*)$/;

export function isCustomDiffusion(names: Iterable<string>): boolean {
	for (const name of names) if (THEIRS.test(name)) return true;
	return false;
}

export async function writeCustomDiffusion(
	path: string,
	shapes: ReadonlyMap<string, Shape>,
	read: (name: string) => Promise<Float32Array>,
): Promise<void> {
	const tensors = new Map<string, TensorData>();
	for (const [name, shape] of shapes)
		tensors.set(name.replace(OURS, "$1.processor.$2_custom_diffusion.$3"), {
			dtype: "F32",
			shape,
			data: () => read(name),
		});
	await writeSafetensors(path, tensors, { metadata: { format: "pt" } });
}

/** Writes a word's vector [d] as `<new1>.safetensors`. @returns the file's name */
export async function embeddingFileOf(folder: string, token: string, vector: Float32Array): Promise<string> {
	if (/[/\\]/.test(token) || token.startsWith("."))
		throw new ArgumentError(`the word "${token}" can't name a file; choose another (--placeholder)`);
	const name = `${token}.safetensors`;
	const tensor: TensorData = { dtype: "F32", shape: [vector.length], data: vector };
	await writeSafetensors(join(folder, name), { [token]: tensor }, { metadata: { format: "pt" } });
	return name;
}

/**
 * The change that a file makes of the UNet.
 *
 * @param weights of the UNet that it is for
 * @throws FormatError `BAD_CUSTOM_DIFFUSION` naming what does not fit
 */
export function readCustomDiffusion(
	checkpoint: Checkpoint,
	weights: ReadonlyMap<string, { readonly shape: readonly number[] }>,
): NetworkChange<FrozenTensor> {
	const { path } = checkpoint;
	const replaced = new Map<string, FrozenTensor>();
	for (const [name, tensor] of checkpoint.tensors) {
		const ours = name.replace(THEIRS, "$1.$2.$3");
		const shape = weights.get(ours)?.shape;
		if (ours === name || shape?.join() !== tensor.shape.join())
			throw new FormatError(
				"BAD_CUSTOM_DIFFUSION",
				path,
				`${path} does not fit this model: "${name}" is [${tensor.shape.join(", ")}]${shape ? `, and there it has [${shape.join(", ")}]` : ", of no weight that it has"}`,
			);
		replaced.set(ours, tensor);
	}
	return { replaced, lowRank: new Map() };
}
