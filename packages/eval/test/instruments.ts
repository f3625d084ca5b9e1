// A small model folder with a classifier and both towers, on weights by formula, and folders of pictures.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type FrozenTensor, type ImageU8, writePng, writeSafetensors } from "@dreamdist/core";
import {
	CLASSIFIER,
	type ComponentKind,
	hashedNumber,
	hashedWeights,
	IMAGE_TOWER,
	TEXT_TOWER,
	writeByteLevelTokenizer,
} from "@dreamdist/models";

const tower = {
	hidden_size: 16,
	intermediate_size: 32,
	num_hidden_layers: 1,
	num_attention_heads: 2,
	projection_dim: 12,
};

async function writeEncoder<Config>(folder: string, kind: ComponentKind<Config>, json: object): Promise<void> {
	const path = join(folder, kind.folder);
	await mkdir(path, { recursive: true });
	const { tensors } = hashedWeights(kind.declare(kind.readConfig(json, "test")), 4);
	const data = ({ source }: FrozenTensor) => ("data" in source ? (source.data as Float32Array) : new Float32Array());
	await writeFile(join(path, "config.json"), JSON.stringify(json));
	await writeSafetensors(
		join(path, "model.safetensors"),
		new Map([...tensors].map(([name, t]) => [name, { dtype: "F32" as const, shape: t.shape, data: data(t) }])),
	);
}

export async function writeInstruments(folder: string): Promise<void> {
	await writeByteLevelTokenizer(join(folder, "tokenizer"));
	const classifier = {
		block: "basic",
		stem: "small",
		stem_channels: 8,
		layers: [1, 1],
		channels: [8, 16],
		image_size: 32,
	};
	await writeEncoder(folder, CLASSIFIER, { ...classifier, num_classes: 3 });
	await writeEncoder(folder, IMAGE_TOWER, { ...tower, image_size: 32, patch_size: 8 });
	await writeEncoder(folder, TEXT_TOWER, { ...tower, vocab_size: 49408, max_position_embeddings: 77 });
}

/** A blot of one colour on another, placed by the seed. */
export function blot(seed: number, hue: number, side = 40): ImageU8 {
	const [x, y] = [side / 2 + 8 * hashedNumber(seed, 0, 1), side / 2 + 8 * hashedNumber(seed, 1, 1)];
	const data = new Uint8Array(side * side * 3);
	for (let i = 0; i < side * side; i++) {
		const inside = Math.hypot((i % side) - x, Math.floor(i / side) - y) < 9;
		for (let channel = 0; channel < 3; channel++)
			data[3 * i + channel] = inside === (channel === hue) ? 200 + (seed % 40) : 40;
	}
	return { width: side, height: side, channels: 3, data };
}

export async function writePictures(folder: string, count: number, hue: number, first: number): Promise<string[]> {
	await mkdir(folder, { recursive: true });
	const files: string[] = [];
	for (let i = 0; i < count; i++) {
		const file = join(folder, `${String(i).padStart(3, "0")}.png`);
		await writePng(file, blot(first + i, hue), { recipe: { prompt: `a blot ${hue}` } });
		files.push(file);
	}
	return files;
}
