// LoRA weights: diffusers' layout to write; that, PEFT's and kohya's to read.
import {
	type Checkpoint,
	contentsOf,
	type Device,
	FormatError,
	type FrozenTensor,
	type TensorData,
	writeSafetensors,
} from "@dreamdist/core";
import type { ReadPart } from "../method.js";
import type { LowRank, ModelChange, NetworkChange } from "../model-change.js";
import type { PartToTrain } from "../trained-parts.js";
import { diffusersName, type LoraName, loraNames } from "./lora-names.js";

/** Writes the factors of all weights in f32, under diffusers' names. */
export async function writeLora(path: string, parts: readonly PartToTrain[], read: ReadPart): Promise<void> {
	const tensors = new Map<string, TensorData>(
		parts.map(({ name, shape }) => [diffusersName(name), { dtype: "F32", shape, data: () => read(name) }]),
	);
	await writeSafetensors(path, tensors, { metadata: { format: "pt" } });
}

/** Whether a file's tensors are of a LoRA. */
export function isLora(names: Iterable<string>): boolean {
	for (const name of names)
		if (/lora/i.test(name) && /(down|up|lora_A|lora_B)(\.default)?\.weight$/.test(name)) return true;
	return false;
}

/** α of a whole network, which newer files say in their metadata. */
function adapterAlphas(metadata: ReadonlyMap<string, string>): { unet?: number; text_encoder?: number } {
	let settings: Record<string, unknown>;
	try {
		settings = JSON.parse(metadata.get("lora_adapter_metadata") ?? "{}") as Record<string, unknown>;
	} catch {
		return {};
	}
	const alpha = (network: string) => settings[`${network}.lora_alpha`];
	const [unet, text] = [alpha("unet"), alpha("text_encoder")];
	return { ...(typeof unet === "number" && { unet }), ...(typeof text === "number" && { text_encoder: text }) };
}

type Weights = ReadonlyMap<string, { readonly shape: readonly number[] }>;

interface Factors {
	down?: FrozenTensor;
	up?: FrozenTensor;
	alpha?: number;
}

/**
 * The change that a LoRA file makes.
 *
 * @param weights of the networks that it is for
 * @param strength factor of the whole change
 * @throws FormatError `BAD_LORA` naming what does not fit the model
 */
export async function readLora(
	device: Device,
	checkpoint: Checkpoint,
	weights: { readonly unet: Weights; readonly text_encoder: Weights },
	strength = 1,
): Promise<ModelChange<FrozenTensor>> {
	const { path } = checkpoint;
	const fail = (problem: string) => new FormatError("BAD_LORA", path, `${path} does not fit this model: ${problem}`);
	const meaning = loraNames({ unet: weights.unet.keys(), text_encoder: weights.text_encoder.keys() });
	const alphas = adapterAlphas(checkpoint.metadata);
	const found = new Map<string, Factors & { name: LoraName }>();
	for (const [name, tensor] of checkpoint.tensors) {
		const meant = meaning(name);
		if (!meant) throw fail(`"${name}" [${tensor.shape.join(", ")}] is of no weight that it has`);
		const key = `${meant.network} ${meant.weight}`;
		const factors = found.get(key) ?? { name: meant };
		if (meant.factor === "alpha") factors.alpha = (await contentsOf(device, tensor))[0]!;
		else factors[meant.factor] = tensor;
		found.set(key, factors);
	}
	const changes = {
		unet: new Map<string, LowRank<FrozenTensor>>(),
		text_encoder: new Map<string, LowRank<FrozenTensor>>(),
	};
	for (const { name, down, up, alpha } of found.values()) {
		const { network, weight } = name;
		if (!down || !up) throw fail(`of the two factors of "${weight}" one is missing`);
		const [outputs, inputs] = weights[network].get(weight)!.shape as [number, number];
		const rank = down.shape[0]!;
		if (down.shape[1] !== inputs || up.shape[0] !== outputs || up.shape[1] !== rank)
			throw fail(
				`the factors [${up.shape.join(", ")}]·[${down.shape.join(", ")}] of "${weight}" do not make its [${outputs}, ${inputs}]`,
			);
		const scaledTo = alpha ?? alphas[network] ?? rank;
		changes[network].set(weight, { down, up, scale: (strength * scaledTo) / rank });
	}
	const change = (network: keyof typeof changes): NetworkChange<FrozenTensor> => ({
		replaced: new Map(),
		lowRank: changes[network],
	});
	return { unet: change("unet"), text: change("text_encoder"), words: [] };
}
