// Names within the Hub's layout that differ between releases, as the networks here ask for them.
import { FrozenTensor, storedContents } from "@dreamdist/core";

export type Tensors = ReadonlyMap<string, FrozenTensor>;

/** The text encoder's weights, without the `text_model.` that older transformers write, and without what is not part of it. */
export function textEncoderTensors(tensors: Tensors): Map<string, FrozenTensor> {
	const out = new Map<string, FrozenTensor>();
	for (const [name, tensor] of tensors) {
		const plain = name.replace(/^text_model\./, "");
		if (plain !== "embeddings.position_ids" && plain !== "text_projection.weight") out.set(plain, tensor);
	}
	return out;
}

const OLD_ATTENTION = { query: "to_q", key: "to_k", value: "to_v", proj_attn: "to_out.0" };

/** The autoencoder's weights under the attention's present names. */
export function autoencoderTensors(tensors: Tensors): Map<string, FrozenTensor> {
	return new Map(
		[...tensors].map(([name, tensor]) => [
			name.replace(
				/(\.attentions\.0\.)(query|key|value|proj_attn)\./,
				(_, before: string, part: keyof typeof OLD_ATTENTION) => `${before}${OLD_ATTENTION[part]}.`,
			),
			tensor,
		]),
	);
}

/**
 * PyTorch's attention keeps query, key and value in one tensor, rows one after another; here they are three. The parts read the same bytes.
 *
 * @returns the tensors with every `self_attn.in_proj.…` replaced by `q_proj`, `k_proj` and `v_proj`
 */
export function splitAttentionInput(tensors: Tensors): Map<string, FrozenTensor> {
	const out = new Map<string, FrozenTensor>();
	for (const [name, tensor] of tensors) {
		const [module, suffix] = name.split(".in_proj.");
		const rows = tensor.shape[0]! / 3;
		if (suffix === undefined || !Number.isInteger(rows)) out.set(name, tensor);
		else
			["q_proj", "k_proj", "v_proj"].forEach((part, i) => {
				out.set(`${module}.${part}.${suffix}`, rowsOf(tensor, i * rows, rows));
			});
	}
	return out;
}

/** Rows [start, start + count) of a tensor's first axis. */
export function rowsOf(tensor: FrozenTensor, start: number, count: number): FrozenTensor {
	const { name, dtype, source } = tensor;
	const shape = [count, ...tensor.shape.slice(1)];
	const row = tensor.bytes / tensor.shape[0]!;
	if ("mapping" in source)
		return new FrozenTensor(name, shape, dtype, {
			mapping: source.mapping,
			byteOffset: source.byteOffset + start * row,
		});
	const size = shape.reduce((a, b) => a * b, 1);
	const offset = (start * size) / count;
	if ("data" in source)
		return new FrozenTensor(name, shape, dtype, { data: source.data.subarray(offset, offset + size) });
	return new FrozenTensor(name, shape, dtype, {
		read: async (device) => (await storedContents(device, tensor)).subarray(offset, offset + size),
	});
}
