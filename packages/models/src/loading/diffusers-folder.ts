// A model folder in diffusers' layout: a folder per component, each with its config.json and weights.
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import {
	Checkpoint,
	FileError,
	FormatError,
	parseSchedulerJson,
	type SamplingDefaults,
	type Tokenizer,
} from "@dreamdist/core";
import { z } from "zod";
import { loadTokenizer } from "../tokenizer/index.js";
import { AUTOENCODER, assemble, type Component, type ComponentKind, TEXT_ENCODER, UNET } from "./components.js";
import { readJsonFile, readTextFile } from "./json-file.js";
import type { ModelFiles, OpenModelOptions } from "./model-files.js";

/** Other keys are other programs'. */
const generationConfig = z.object({
	num_inference_steps: z.int().min(1).optional(),
	guidance_scale: z.number().optional(),
	/** Ours: for prompts that were learned. */
	learned_guidance_scale: z.number().optional(),
});

export class DiffusersFolder implements ModelFiles {
	readonly notes: readonly string[] = [];
	private readonly components = new Map<string, Promise<Component<unknown>>>();
	private readonly checkpoints: Checkpoint[] = [];
	private disposed = false;

	private constructor(
		readonly path: string,
		private readonly options: OpenModelOptions,
	) {}

	/**
	 * Opens a folder. Nothing but `model_index.json` is read yet, if there is one.
	 *
	 * @throws FormatError naming a component of a class that is not supported
	 */
	static async open(path: string, options: OpenModelOptions = {}): Promise<DiffusersFolder> {
		const index = join(path, "model_index.json");
		if (existsSync(index)) checkIndex(await readJsonFile(index), index);
		return new DiffusersFolder(path, options);
	}

	load<Config>(kind: ComponentKind<Config>): Promise<Component<Config>> {
		let component = this.components.get(kind.folder);
		if (!component) {
			component = this.read(kind);
			component.catch(() => undefined);
			this.components.set(kind.folder, component);
		}
		return component as Promise<Component<Config>>;
	}

	private async read<Config>(kind: ComponentKind<Config>): Promise<Component<Config>> {
		const folder = this.folderOf(kind.folder);
		const source = join(folder, "config.json");
		const config = kind.readConfig(await readJsonFile(source), source);
		const checkpoint = await openComponentWeights(folder, this.options);
		if (this.disposed) checkpoint.dispose();
		else this.checkpoints.push(checkpoint);
		return assemble(kind, config, checkpoint.tensors, folder);
	}

	/** A component's folder; or the model's own, where it is a single component. */
	private folderOf(component: string): string {
		const folder = join(this.path, component);
		return !existsSync(folder) && existsSync(join(this.path, "config.json")) ? this.path : folder;
	}

	async scheduler(): Promise<{ json: unknown; source: string }> {
		const source = join(this.path, "scheduler", "scheduler_config.json");
		return { json: parseSchedulerJson(await readTextFile(source), source), source };
	}

	tokenizer(): Promise<Tokenizer> {
		return loadTokenizer(this.options.tokenizer ?? join(this.path, "tokenizer"));
	}

	/** `generation_config.json`, by diffusers' names of the arguments. */
	async sampling(): Promise<SamplingDefaults> {
		const source = join(this.path, "generation_config.json");
		if (!existsSync(source)) return {};
		const parsed = generationConfig.safeParse(await readJsonFile(source));
		if (!parsed.success) {
			const { path, message } = parsed.error.issues[0]!;
			throw new FormatError(
				"BAD_CONFIG",
				source,
				`${source}: ${path.length > 0 ? `"${path.join(".")}": ` : ""}${message}`,
			);
		}
		const {
			num_inference_steps: steps,
			guidance_scale: guidance,
			learned_guidance_scale: learnedGuidance,
		} = parsed.data;
		return { steps, guidance, learnedGuidance };
	}

	dispose(): void {
		this.disposed = true;
		for (const checkpoint of this.checkpoints) checkpoint.dispose();
	}

	[Symbol.dispose](): void {
		this.dispose();
	}
}

/** What weights are called where they were only published pickled. They are read without executing anything (see `openTorch`). */
const PICKLED_STEMS = ["diffusion_pytorch_model", "pytorch_model"];

/** The weights of a component's folder; the half-precision variant where it is the only one, or the one asked for. */
async function openComponentWeights(folder: string, { dtype }: OpenModelOptions): Promise<Checkpoint> {
	const variants = dtype === "f16" ? ["fp16", undefined] : [undefined, "fp16"];
	let first: unknown;
	for (const variant of variants)
		try {
			return await Checkpoint.open(folder, variant ? { dtype, variant } : { dtype });
		} catch (error) {
			// A file that is there but can't be read is the error to tell.
			if (!(error instanceof FileError && error.code === "FILE_NOT_FOUND" && error.path === folder)) throw error;
			if (!variant) first = error;
		}
	const pickled = variants
		.flatMap((variant) => PICKLED_STEMS.map((stem) => join(folder, `${stem}${variant ? `.${variant}` : ""}.bin`)))
		.find((path) => existsSync(path));
	if (pickled) return Checkpoint.open(pickled, { dtype });
	throw first;
}

/** Refuses pipelines that are made of other parts than the three networks known here. */
function checkIndex(json: unknown, path: string): void {
	if (typeof json !== "object" || json === null || Array.isArray(json))
		throw new FormatError("BAD_MODEL_INDEX", path, `${path} is not a JSON object`);
	const known = new Map([TEXT_ENCODER, UNET, AUTOENCODER].map((kind) => [kind.folder, kind.className]));
	// Parts that text-to-image does without, and that say nothing about the networks.
	const ignored = new Set(["scheduler", "tokenizer", "safety_checker", "feature_extractor", "image_encoder"]);
	for (const [key, value] of Object.entries(json)) {
		if (key.startsWith("_") || ignored.has(key) || !Array.isArray(value)) continue;
		const className: unknown = value[1];
		if (className === null || className === known.get(key)) continue;
		const wanted = known.get(key);
		throw new FormatError(
			"BAD_MODEL_INDEX",
			path,
			wanted
				? `${path}: "${key}" is a ${String(className)}; only ${wanted} is supported`
				: `${path}: "${key}" (${String(className)}) is a part that ${basename(path)} of Stable Diffusion 1 and 2 does not have; other models are not supported`,
		);
	}
}
