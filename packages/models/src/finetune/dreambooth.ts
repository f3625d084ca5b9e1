// DreamBooth (Ruiz et al. 2022): the whole UNet is trained, with the text encoder if asked for; or products of low rank in its attentions.
import { join } from "node:path";
import type { FrozenTensor, Shape } from "@dreamdist/core";
import { textEncoderWeights, unetWeights } from "../networks/declare.js";
import type { Pipeline } from "../pipeline/pipeline.js";
import { writeLora } from "./files/lora-file.js";
import { checkModelFolder, writeModelFolder } from "./files/model-writer.js";
import { type TuningMethod, weightPart } from "./method.js";
import { type LowRank, type ModelChange, type NetworkChange, NO_CHANGE } from "./model-change.js";
import { randomPart } from "./random-part.js";
import type { DreamboothLoraSettings, DreamboothSettings } from "./settings.js";
import type { PartToTrain } from "./trained-parts.js";

/** Prefixes of parts, as diffusers' LoRA files have them. */
const UNET = "unet";
const TEXT = "text_encoder";
/** Where the whole model is written, inside of the run folder. */
export const MODEL_FOLDER = "model";
export const LORA_FILE = "pytorch_lora_weights.safetensors";

/** The attentions' projections, which the public implementation trains. */
const UNET_TARGET = /\.attn[12]\.to_(q|k|v|out\.0)\.weight$/;
const TEXT_TARGET = /\.self_attn\.(q|k|v|out)_proj\.weight$/;

interface Networks {
	readonly prefix: typeof UNET | typeof TEXT;
	readonly shapes: ReadonlyMap<string, Shape>;
	readonly tensors: ReadonlyMap<string, FrozenTensor>;
}

function trainedNetworks({ components: { unet, text } }: Pipeline, withText: boolean): Networks[] {
	const networks: Networks[] = [{ prefix: UNET, shapes: unetWeights(unet.config), tensors: unet.weights.tensors }];
	if (withText) networks.push({ prefix: TEXT, shapes: textEncoderWeights(text.config), tensors: text.weights.tensors });
	return networks;
}

const said = ({ instancePrompt, classPrompt }: DreamboothSettings | DreamboothLoraSettings) => ({
	instancePrompt: () => instancePrompt,
	classPrompt,
	prompt: instancePrompt,
});

/** @throws ArgumentError for a model that is no folder, as a folder is what it will be written as */
export function dreambooth(pipe: Pipeline, settings: DreamboothSettings): TuningMethod {
	checkModelFolder(pipe);
	const networks = trainedNetworks(pipe, settings.trainTextEncoder);
	const replaced = <T>(prefix: string, trained: ReadonlyMap<string, T>): NetworkChange<T> => {
		const network = networks.find((each) => each.prefix === prefix);
		if (!network) return NO_CHANGE;
		const own = [...network.shapes.keys()].map((name) => [name, trained.get(`${prefix}.${name}`)!] as const);
		return { replaced: new Map(own), lowRank: new Map() };
	};
	return {
		...said(settings),
		parts: networks.flatMap(({ prefix, shapes, tensors }) =>
			[...shapes].map(([name, shape]) => weightPart(pipe, prefix, name, tensors.get(name)!, shape)),
		),
		change: (trained) => ({ unet: replaced(UNET, trained), text: replaced(TEXT, trained), words: [] }),
		save: async (folder, read) => {
			await writeModelFolder(pipe, join(folder, MODEL_FOLDER), {
				unet: (name) => read(`${UNET}.${name}`),
				text: settings.trainTextEncoder ? (name) => read(`${TEXT}.${name}`) : null,
			});
			return [MODEL_FOLDER];
		},
	};
}

/** W + B·A in every projection of the attentions: A begins as N(0, 1/r²), B at zero, as the public implementation's. */
export function dreamboothLora(pipe: Pipeline, settings: DreamboothLoraSettings): TuningMethod {
	const { rank, seed, trainTextEncoder } = settings;
	const parts: PartToTrain[] = [];
	const targets: { readonly prefix: string; readonly name: string }[] = [];
	for (const { prefix, shapes } of trainedNetworks(pipe, trainTextEncoder)) {
		const pattern = prefix === UNET ? UNET_TARGET : TEXT_TARGET;
		for (const [name, [outputs, inputs]] of shapes) {
			if (!pattern.test(name)) continue;
			targets.push({ prefix, name });
			const at = parts.length;
			parts.push(randomPart(`${prefix}.${name}.lora_A`, [rank, inputs!], 1 / rank, seed, at));
			parts.push({
				name: `${prefix}.${name}.lora_B`,
				shape: [outputs!, rank],
				initial: async () => new Float32Array(outputs! * rank),
			});
		}
	}
	const change = <T>(trained: ReadonlyMap<string, T>): ModelChange<T> => {
		const ofNetwork = (prefix: string): NetworkChange<T> => {
			const lowRank = new Map<string, LowRank<T>>();
			for (const target of targets.filter((each) => each.prefix === prefix)) {
				const part = (letter: string) => trained.get(`${prefix}.${target.name}.lora_${letter}`)!;
				lowRank.set(target.name, { down: part("A"), up: part("B"), scale: 1 });
			}
			return { replaced: new Map(), lowRank };
		};
		return { unet: ofNetwork(UNET), text: ofNetwork(TEXT), words: [] };
	};
	return {
		...said(settings),
		parts,
		change,
		save: async (folder, read) => {
			await writeLora(join(folder, LORA_FILE), parts, read);
			return [LORA_FILE];
		},
	};
}
