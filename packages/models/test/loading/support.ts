import { join } from "node:path";
import { openSafetensors, type TensorData, writeSafetensors } from "@dreamdist/core";

/** Every tensor of a file as it is stored. */
export async function readTensors(path: string): Promise<Record<string, TensorData>> {
	const file = await openSafetensors(path);
	const tensors: Record<string, TensorData> = {};
	for (const { name, dtype, shape } of file.tensors.values())
		tensors[name] = { dtype, shape, data: await file.read(name) };
	await file.close();
	return tensors;
}

/** The same tensors under other names; null leaves one out. */
export function renamed(
	tensors: Record<string, TensorData>,
	rename: (name: string) => string | null,
): Record<string, TensorData> {
	return Object.fromEntries(
		Object.entries(tensors).flatMap(([name, tensor]) => {
			const other = rename(name);
			return other === null ? [] : [[other, tensor] as const];
		}),
	);
}

export const WEIGHT_FILES = {
	text_encoder: "model.safetensors",
	unet: "diffusion_pytorch_model.safetensors",
	vae: "diffusion_pytorch_model.safetensors",
} as const;

/** Replaces the weights of one network of a model folder. */
export function replaceWeights(
	model: string,
	component: keyof typeof WEIGHT_FILES,
	tensors: Record<string, TensorData>,
): Promise<void> {
	return writeSafetensors(join(model, component, WEIGHT_FILES[component]), tensors);
}
