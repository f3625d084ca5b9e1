// Embeddings of Textual Inversion, as the public tools write them.
import { basename, extname } from "node:path";
import { type Checkpoint, FormatError, FrozenTensor } from "@dreamdist/core";
import type { LearnedWord } from "../model-change.js";

/** What a file's tensor is called by: A1111's, kohya's, OneTrainer's. Diffusers calls it as prompts do. */
const UNNAMED = /(^|\.)(string_to_param(\..*)?|emb_params|emp_params)$/;

/** The tensor that is an embedding; null where there is none, or more than one. */
function embeddingName(checkpoint: Checkpoint): string | null {
	const names = [...checkpoint.tensors.keys()];
	const unnamed = names.find((name) => UNNAMED.test(name));
	if (unnamed !== undefined) return unnamed;
	const rank = names.length === 1 ? checkpoint.tensors.get(names[0]!)!.shape.length : 0;
	return rank === 1 || rank === 2 ? names[0]! : null;
}

export function isEmbedding(checkpoint: Checkpoint): boolean {
	const name = embeddingName(checkpoint);
	return name !== null && name !== "tokens" && name !== "prompt_embeds";
}

/**
 * The words of an embedding's file. Where the file does not say what prompts call it, its own name does.
 *
 * @param width of the text encoder's embeddings
 * @throws FormatError `BAD_EMBEDDING` where it is of another width, naming both
 */
export function readEmbeddingWord(checkpoint: Checkpoint, width: number): LearnedWord<FrozenTensor> {
	const { path } = checkpoint;
	const name = embeddingName(checkpoint)!;
	const tensor = checkpoint.tensors.get(name)!;
	const shape = tensor.shape.length === 1 ? [1, ...tensor.shape] : tensor.shape;
	if (shape[1] !== width || shape[0] === 0)
		throw new FormatError(
			"BAD_EMBEDDING",
			path,
			`${path} holds an embedding [${tensor.shape.join(", ")}], but the model's text encoder has width ${width}; it belongs to another model`,
		);
	const token = UNNAMED.test(name) ? basename(path, extname(path)) : name;
	return { token, vectors: new FrozenTensor(token, shape, tensor.dtype, tensor.source) };
}
