// Encoders from the files that their authors publish.
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
	type Device,
	type FrozenTensor,
	openDevice,
	TensorToSave,
	writeSafetensors,
	writeTorch,
} from "@dreamdist/core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
	CLIP,
	type ComponentKind,
	DINO,
	DINOV2,
	dinoVit,
	dinov2,
	hashedWeights,
	LPIPS,
	loadEncoder,
	type VisionTransformerConfig,
} from "../../src/index.js";

let device: Device;
let folder: string;
beforeAll(async () => {
	device = await openDevice("cpu");
	folder = await mkdtemp(join(tmpdir(), "dreamdist-encoders-"));
});
afterAll(async () => {
	device.dispose();
	await rm(folder, { recursive: true });
});

const dataOf = ({ source }: FrozenTensor) => ("data" in source ? (source.data as Float32Array) : new Float32Array());
const save = (tensor: { shape: readonly number[]; data: Float32Array }) => new TensorToSave(tensor.shape, tensor.data);

const JSON_CONFIG = { hidden_size: 64, num_hidden_layers: 2, num_attention_heads: 1, image_size: 32, patch_size: 8 };
const PICTURES = Float32Array.from({ length: 24 * 32 * 3 }, (_, i) => Math.sin(0.1 * i));

/** [the Hub's name, the original repositories' name] of everything but query, key and value. */
const ORIGINAL: readonly (readonly [RegExp, string])[] = [
	[/^embeddings\.cls_token$/, "cls_token"],
	[/^embeddings\.position_embeddings$/, "pos_embed"],
	[/^embeddings\.patch_embeddings\.projection/, "patch_embed.proj"],
	[/^layernorm\./, "norm."],
	[/^encoder\.layer\./, "blocks."],
	[/attention\.output\.dense/, "attn.proj"],
	[/layernorm_before/, "norm1"],
	[/layernorm_after/, "norm2"],
	[/intermediate\.dense/, "mlp.fc1"],
	[/\.output\.dense/, ".mlp.fc2"],
	[/layer_scale(\d)\.lambda1/, "ls$1.gamma"],
];

describe.each([
	["DINO", DINO as ComponentKind<VisionTransformerConfig>, dinoVit, { intermediate_size: 256, layer_norm_eps: 1e-6 }],
	["DINOv2", DINOV2 as ComponentKind<VisionTransformerConfig>, dinov2, {}],
])("%s", (name, kind, network, more) => {
	const config = kind.readConfig({ ...JSON_CONFIG, ...more }, "test");
	const weights = hashedWeights(kind.declare(config), 2);
	const encode = async (component: { config: VisionTransformerConfig; weights: typeof weights }) => {
		const program = await device.compile((graph) => ({
			cls: network(component.weights.open(graph), component.config, graph.input("pixels", [1, 24, 32, 3])).cls,
		}));
		return (await program.run({ pixels: PICTURES })).cls;
	};

	test("the Hub's folder, in safetensors or pickled, with parts that features do without", async () => {
		const expected = await encode({ config, weights });
		const extra = { shape: [1, 64], data: new Float32Array(64) };
		for (const format of ["model.safetensors", "pytorch_model.bin"]) {
			const path = join(folder, `${name} ${format}`);
			await mkdir(path);
			await writeFile(
				join(path, "config.json"),
				JSON.stringify({ ...JSON_CONFIG, ...more, num_beams: 1, id2label: {} }),
			);
			const tensors = new Map([...weights.tensors].map(([key, t]) => [key, { shape: [...t.shape], data: dataOf(t) }]));
			tensors.set("embeddings.mask_token", extra);
			tensors.set("pooler.dense.bias", extra);
			if (format.endsWith(".bin"))
				await writeTorch(
					join(path, format),
					Object.fromEntries([...tensors].map(([key, tensor]) => [`vit.${key}`, save(tensor)])),
				);
			else
				await writeSafetensors(
					join(path, format),
					Object.fromEntries([...tensors].map(([key, tensor]) => [key, { dtype: "F32" as const, ...tensor }])),
				);
			using loaded = await loadEncoder(kind, path);
			expect(await encode(loaded.component)).toEqual(expected);
		}
	});

	test("the original repository's file, its configuration told by its shapes", async () => {
		const tensors: Record<string, TensorToSave> = {};
		for (const [key, tensor] of weights.tensors) {
			const projection = key.match(/^(encoder\.layer\.\d+)\.attention\.attention\.(query|key|value)\.(weight|bias)$/);
			if (projection?.[2] === "key" || projection?.[2] === "value") continue;
			const original = ORIGINAL.reduce((renamed, [pattern, target]) => renamed.replace(pattern, target), key);
			if (!projection) {
				tensors[original] = save({ shape: tensor.shape, data: dataOf(tensor) });
				continue;
			}
			const parts = ["query", "key", "value"].flatMap((part) => [
				...dataOf(weights.tensors.get(`${projection[1]}.attention.attention.${part}.${projection[3]}`)!),
			]);
			const shape = [192, ...tensor.shape.slice(1)];
			tensors[original.replace("attention.attention.query", "attn.qkv")] = save({
				shape,
				data: Float32Array.from(parts),
			});
		}
		const path = join(folder, `${name}.pth`);
		await writeTorch(path, tensors);
		using loaded = await loadEncoder(kind, path);
		expect(loaded.component.config).toEqual(config);
		expect(await encode(loaded.component)).toEqual(await encode({ config, weights }));
	});
});

test("LPIPS is put together from torchvision's file and the mixing weights'", async () => {
	const path = join(folder, "lpips");
	await mkdir(path);
	const weights = hashedWeights(LPIPS.declare("alex"), 2);
	const pick = (pattern: RegExp) =>
		Object.fromEntries(
			[...weights.tensors].flatMap(([key, tensor]) =>
				pattern.test(key) ? [[key, save({ shape: tensor.shape, data: dataOf(tensor) })]] : [],
			),
		);
	const classifier = save({ shape: [2], data: new Float32Array(2) });
	await writeTorch(join(path, "alexnet-owt-7be5be79.pth"), { ...pick(/^features/), "classifier.1.bias": classifier });
	await expect(loadEncoder(LPIPS, path)).rejects.toThrow(/mixing weights/);
	await writeTorch(join(path, "alex.pth"), pick(/^lin/));
	using loaded = await loadEncoder(LPIPS, path);
	expect(loaded.component.config).toBe("alex");
	expect([...loaded.component.weights.tensors.keys()].sort()).toEqual([...weights.tensors.keys()].sort());
});

test("what is not there, or says nothing of itself, is refused by name", async () => {
	await expect(loadEncoder(CLIP, join(folder, "nowhere"))).rejects.toThrow(/there is no encoder at .*nowhere/);
	const path = join(folder, "odd.pth");
	await writeTorch(path, { weight: save({ shape: [2], data: new Float32Array(2) }) });
	await expect(loadEncoder(DINO, path)).rejects.toThrow(/odd\.pth has no config\.json beside it/);
	await expect(loadEncoder(CLIP, path)).rejects.toThrow(/odd\.pth has no config\.json beside it/);
});
