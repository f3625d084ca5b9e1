import { HubError } from "./errors.js";

/** Which copy of the weights: half precision where the repository has it (half the download), or the full one. */
export type WeightVariant = "fp16" | "full";

/** What a pipeline of Stable Diffusion is made of, and what weights are called in each part. */
const WEIGHT_STEMS: Record<string, string> = {
	text_encoder: "model",
	unet: "diffusion_pytorch_model",
	vae: "diffusion_pytorch_model",
};
const PIPELINE_FILES = [
	"model_index.json",
	"scheduler/scheduler_config.json",
	"tokenizer/vocab.json",
	"tokenizer/merges.txt",
	"tokenizer/tokenizer_config.json",
	"tokenizer/special_tokens_map.json",
];
/** Of a single network, with the tokenizer that a CLIP has beside it. */
const MODEL_FILES = [
	"config.json",
	"preprocessor_config.json",
	"vocab.json",
	"merges.txt",
	"tokenizer_config.json",
	"special_tokens_map.json",
];
/** What the weights of a network are called that was only ever published pickled; they are read without being run. */
const PICKLED = ["diffusion_pytorch_model", "pytorch_model"];

/**
 * The files of a repository that its model needs, of all those it has: one copy of the weights, in safetensors (or pickled,
 * where a network has no other), and the configurations.
 *
 * @param paths every file of the repository
 * @param wanted exact names or patterns with `*` (within a folder) instead of the choice made here
 * @throws HubError when the repository has weights of neither form, or not the files asked for
 */
export function selectFiles(
	name: string,
	paths: readonly string[],
	variant: WeightVariant,
	wanted?: readonly string[],
): string[] {
	if (wanted) return wanted.flatMap((pattern) => matching(name, paths, pattern));
	const isPipeline = paths.includes("model_index.json");
	const chosen = (isPipeline ? PIPELINE_FILES : MODEL_FILES).filter((path) => paths.includes(path));
	const stems = isPipeline ? Object.entries(WEIGHT_STEMS).map(([part, stem]) => `${part}/${stem}`) : ["model"];
	for (const stem of stems) {
		const folder = stem.slice(0, stem.lastIndexOf("/") + 1);
		if (folder !== "" && paths.includes(`${folder}config.json`)) chosen.push(`${folder}config.json`);
		const weights = chooseWeights(paths, stem, variant);
		if (weights.length === 0) weights.push(...choosePickled(paths, folder, variant));
		if (weights.length === 0) throw noWeights(name, paths, `${stem}.safetensors`);
		chosen.push(...weights);
	}
	return chosen;
}

function chooseWeights(paths: readonly string[], stem: string, variant: WeightVariant): string[] {
	for (const infix of variant === "fp16" ? [".fp16", ""] : ["", ".fp16"]) {
		const single = `${stem}${infix}.safetensors`;
		if (paths.includes(single)) return [single];
		const index = `${stem}.safetensors.index${infix}.json`;
		const shard = new RegExp(`^${escapeExpression(`${stem}${infix}`)}-\\d{5}-of-\\d{5}\\.safetensors$`);
		const shards = paths.filter((path) => shard.test(path));
		if (paths.includes(index) && shards.length > 0) return [index, ...shards];
	}
	return [];
}

function choosePickled(paths: readonly string[], folder: string, variant: WeightVariant): string[] {
	for (const infix of variant === "fp16" ? [".fp16", ""] : ["", ".fp16"]) {
		const found = PICKLED.map((stem) => `${folder}${stem}${infix}.bin`).find((path) => paths.includes(path));
		if (found) return [found];
	}
	return [];
}

function matching(name: string, paths: readonly string[], pattern: string): string[] {
	const expression = new RegExp(`^${pattern.split("*").map(escapeExpression).join("[^/]*")}$`);
	const found = paths.filter((path) => expression.test(path));
	if (found.length > 0) return found;
	throw new HubError("HUB_FILE_NOT_FOUND", `${name} has no file ${pattern}. It has ${listing(paths)}.`);
}

function noWeights(name: string, paths: readonly string[], expected: string): HubError {
	const others = paths.filter((path) => /\.(bin|ckpt|pt|pth|safetensors|msgpack|onnx)$/.test(path));
	const message =
		`${name} has neither ${expected} nor the same as .bin. ` +
		`Its weights are ${listing(others)}; name the files to fetch them as they are.`;
	return new HubError("HUB_FILE_NOT_FOUND", message);
}

/** Some names, so that a message stays a sentence. */
function listing(paths: readonly string[]): string {
	const shown = paths.slice(0, 12).join(", ");
	if (paths.length === 0) return "none";
	return paths.length > 12 ? `${shown} and ${paths.length - 12} more` : shown;
}

function escapeExpression(text: string): string {
	return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
