// Names of public encoders' weights in their original repositories, as the Hub and the networks here have them.
import type { FrozenTensor } from "@dreamdist/core";
import { rowsOf, type Tensors } from "./component-names.js";

type Rule = readonly [pattern: RegExp, name: string];

const SHARED: readonly Rule[] = [
	[/^cls_token$/, "embeddings.cls_token"],
	[/^pos_embed$/, "embeddings.position_embeddings"],
	[/^patch_embed\.proj\./, "embeddings.patch_embeddings.projection."],
	[/^norm\./, "layernorm."],
	[/^blocks\.(\d+)\.attn\.proj\./, "encoder.layer.$1.attention.output.dense."],
];

/** facebookresearch/dino. */
const DINO: readonly Rule[] = [
	...SHARED,
	[/^blocks\.(\d+)\.norm1\./, "encoder.layer.$1.layernorm_before."],
	[/^blocks\.(\d+)\.norm2\./, "encoder.layer.$1.layernorm_after."],
	[/^blocks\.(\d+)\.mlp\.fc1\./, "encoder.layer.$1.intermediate.dense."],
	[/^blocks\.(\d+)\.mlp\.fc2\./, "encoder.layer.$1.output.dense."],
];

/** facebookresearch/dinov2. */
const DINOV2: readonly Rule[] = [
	...SHARED,
	[/^blocks\.(\d+)\.(norm[12]|mlp\.fc[12])\./, "encoder.layer.$1.$2."],
	[/^blocks\.(\d+)\.ls([12])\.gamma$/, "encoder.layer.$1.layer_scale$2.lambda1"],
	[/^blocks\.(\d+)\.mlp\.w12\./, "encoder.layer.$1.mlp.weights_in."],
	[/^blocks\.(\d+)\.mlp\.w3\./, "encoder.layer.$1.mlp.weights_out."],
];

/** Parts of the files that features do without: of masked training, and transformers' pooler. */
const UNUSED = /^(mask_token|register_tokens|embeddings\.mask_token|pooler\.dense\.(weight|bias)|head\..*)$/;

function transformerTensors(tensors: Tensors, rules: readonly Rule[]): Map<string, FrozenTensor> {
	const out = new Map<string, FrozenTensor>();
	for (const [stored, tensor] of tensors) {
		const name = stored.replace(/^(vit|dinov2|backbone|module|teacher)\./, "");
		if (UNUSED.test(name)) continue;
		const fused = name.match(/^blocks\.(\d+)\.attn\.qkv\.(weight|bias)$/);
		if (fused) {
			const rows = tensor.shape[0]! / 3;
			["query", "key", "value"].forEach((part, i) => {
				out.set(`encoder.layer.${fused[1]}.attention.attention.${part}.${fused[2]}`, rowsOf(tensor, i * rows, rows));
			});
			continue;
		}
		const rule = rules.find(([pattern]) => pattern.test(name));
		out.set(rule ? name.replace(...(rule as [RegExp, string])) : name, tensor);
	}
	return out;
}

export const dinoTensors = (tensors: Tensors): Map<string, FrozenTensor> => transformerTensors(tensors, DINO);
export const dinov2Tensors = (tensors: Tensors): Map<string, FrozenTensor> => transformerTensors(tensors, DINOV2);

/** CLIP without the index tables that some releases store as floats. */
export const clipTensors = (tensors: Tensors): Map<string, FrozenTensor> =>
	new Map([...tensors].filter(([name]) => !name.endsWith(".position_ids")));

/** LPIPS' mixing weights and a torchvision classifier's convolutions, under the names of either the files or the lpips package. */
export const lpipsTensors = (tensors: Tensors): Map<string, FrozenTensor> =>
	new Map(
		[...tensors].flatMap(([stored, tensor]) => {
			const name = stored.replace(/^net\.slice\d+\./, "features.").replace(/^lins\.(\d)\./, "lin$1.");
			return /^(features\.|lin\d\.)/.test(name) ? [[name, tensor] as const] : [];
		}),
	);
