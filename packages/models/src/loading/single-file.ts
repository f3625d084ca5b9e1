// One .safetensors file with a whole model, in the original layout of latent diffusion.
import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import {
	Checkpoint,
	FileError,
	FormatError,
	type FrozenTensor,
	type SamplingDefaults,
	type Tokenizer,
} from "@dreamdist/core";
import type { AutoencoderConfig } from "../networks/autoencoder-config.js";
import { loadTokenizer } from "../tokenizer/index.js";
import { splitAttentionInput, type Tensors } from "./component-names.js";
import { AUTOENCODER, assemble, type Component, type ComponentKind, TEXT_ENCODER, UNET } from "./components.js";
import { DEFAULT_CONFIGS, type DefaultConfigName, type ModelConfigs } from "./default-configs.js";
import { ldmAutoencoderNames, ldmUNetNames, openClipNames } from "./ldm-names.js";
import type { ModelFiles, OpenModelOptions } from "./model-files.js";
import { type Renames, rename } from "./rename.js";

const UNET_PREFIX = "model.diffusion_model.";
const VAE_PREFIX = "first_stage_model.";
const OPENCLIP_PREFIX = "cond_stage_model.model.";
const CLIP_PREFIX = "cond_stage_model.transformer.";

/** Its width tells the generations apart. */
const CONTEXT_WEIGHT = `${UNET_PREFIX}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight`;

/** What such files hold besides the networks: constants of the noise schedule, the loss, and averages of the UNet's weights. */
const NOT_NETWORKS =
	/^(model_ema\.|first_stage_model\.loss\.|scale_factor$|logvar$|betas$|(sqrt_|log_)?(one_minus_)?(recip(m1)?_)?alphas_cumprod(_prev)?$|sqrt_recip(m1)?_alphas_cumprod$|posterior_|lvlb_weights$)/;

/** OpenCLIP's parts that Stable Diffusion does not use. */
const NOT_TEXT_ENCODER = /^(text_projection|logit_scale|attn_mask)$/;

export class SingleFile implements ModelFiles {
	readonly notes: readonly string[];
	private readonly components = new Map<string, Component<unknown>>();

	private constructor(
		readonly path: string,
		private readonly checkpoint: Checkpoint,
		private readonly configs: ModelConfigs,
		private readonly options: OpenModelOptions,
		notes: readonly string[],
	) {
		this.notes = notes;
	}

	/**
	 * Opens the file and finds out which published model it has the form of.
	 *
	 * @param configs the networks' configurations, for a model that is none of the published ones
	 * @throws FormatError if it is none
	 */
	static async open(path: string, options: OpenModelOptions = {}, configs?: ModelConfigs): Promise<SingleFile> {
		const checkpoint = await Checkpoint.open(path, { dtype: options.dtype });
		try {
			const found = configs ? { configs, note: null } : recognise(checkpoint, path, options);
			const unexpected = [...checkpoint.tensors.keys()].filter((tensor) => !isKnown(tensor));
			if (unexpected.length > 0)
				throw new FormatError(
					"BAD_WEIGHTS",
					path,
					`${path}: ${unexpected.length} tensors belong to no network of Stable Diffusion (${unexpected.slice(0, 8).join(", ")})`,
				);
			return new SingleFile(path, checkpoint, found.configs, options, found.note ? [found.note] : []);
		} catch (error) {
			checkpoint.dispose();
			throw error;
		}
	}

	async load<Config>(kind: ComponentKind<Config>): Promise<Component<Config>> {
		let component = this.components.get(kind.folder);
		if (!component) {
			const json = this.configs[kind.folder as "unet" | "vae" | "text_encoder"];
			const config = kind.readConfig(json, `the built-in configuration of ${kind.folder}`);
			component = assemble(kind, config, this.tensorsOf(kind), `${this.path} (${kind.folder})`);
			this.components.set(kind.folder, component);
		}
		return component as Component<Config>;
	}

	/** A network's tensors under the Hub's names. */
	private tensorsOf<Config>(kind: ComponentKind<Config>): Tensors {
		switch (kind.folder) {
			case UNET.folder:
				return this.renamed(UNET_PREFIX, ldmUNetNames(UNET.readConfig(this.configs.unet, "")));
			case AUTOENCODER.folder: {
				const config: AutoencoderConfig = AUTOENCODER.readConfig(this.configs.vae, "");
				return this.renamed(VAE_PREFIX, ldmAutoencoderNames(config), /^loss\./);
			}
			default: {
				const { layers } = TEXT_ENCODER.readConfig(this.configs.text_encoder, "");
				if (this.has(CLIP_PREFIX)) return this.renamed(CLIP_PREFIX, null);
				// The last of OpenCLIP's layers is left out: Stable Diffusion 2 reads the one before.
				const unused = new RegExp(`${NOT_TEXT_ENCODER.source}|^transformer\\.resblocks\\.${layers}\\.`);
				return splitAttentionInput(this.renamed(OPENCLIP_PREFIX, openClipNames(layers), unused));
			}
		}
	}

	private has(prefix: string): boolean {
		return [...this.checkpoint.tensors.keys()].some((name) => name.startsWith(prefix));
	}

	/** Tensors below a prefix; those that no rename knows keep their names, so that they are listed as unexpected. */
	private renamed(prefix: string, renames: Renames | null, unused?: RegExp): Map<string, FrozenTensor> {
		const out = new Map<string, FrozenTensor>();
		for (const [name, tensor] of this.checkpoint.tensors) {
			if (!name.startsWith(prefix)) continue;
			const inner = name.slice(prefix.length);
			if (!unused?.test(inner)) out.set(renames ? (rename(inner, renames) ?? name) : inner, tensor);
		}
		return out;
	}

	async scheduler(): Promise<{ json: unknown; source: string }> {
		return { json: this.configs.scheduler, source: "the built-in scheduler configuration" };
	}

	async tokenizer(): Promise<Tokenizer> {
		const beside = join(dirname(this.path), "tokenizer");
		const folder = this.options.tokenizer ?? (existsSync(beside) ? beside : null);
		if (folder) return loadTokenizer(folder);
		throw new FileError(
			"FILE_NOT_FOUND",
			beside,
			`${basename(this.path)} holds no tokenizer: name the folder of one (vocab.json, merges.txt), or put it at ${beside}`,
		);
	}

	async sampling(): Promise<SamplingDefaults> {
		return {};
	}

	dispose(): void {
		this.checkpoint.dispose();
	}

	[Symbol.dispose](): void {
		this.dispose();
	}
}

type Family = "sd15" | "sd2";

/** The configurations of the published model that a file has the form of, and what had to be assumed. */
function recognise(
	checkpoint: Checkpoint,
	path: string,
	options: OpenModelOptions,
): { configs: ModelConfigs; note: string | null } {
	const family = familyOf(checkpoint, path);
	const { predictionType, note } = predictionTypeOf(checkpoint, family, path, options);
	const name: DefaultConfigName = family === "sd15" ? "sd15" : predictionType === "epsilon" ? "sd21-base" : "sd21";
	const configs: ModelConfigs = DEFAULT_CONFIGS[name];
	return { configs: { ...configs, scheduler: { ...configs.scheduler, prediction_type: predictionType } }, note };
}

function familyOf(checkpoint: Checkpoint, path: string): Family {
	const width = checkpoint.tensors.get(CONTEXT_WEIGHT)?.shape[1];
	if (width === 1024) return "sd2";
	if (width === 768) return "sd15";
	throw new FormatError(
		"BAD_WEIGHTS",
		path,
		width === undefined
			? `${path} is no Stable Diffusion checkpoint: it has no ${CONTEXT_WEIGHT}`
			: `${path}: text features of width ${width} belong to neither Stable Diffusion 1 nor 2`,
	);
}

function isKnown(name: string): boolean {
	const prefixes = [UNET_PREFIX, VAE_PREFIX, OPENCLIP_PREFIX, CLIP_PREFIX];
	return NOT_NETWORKS.test(name) || prefixes.some((prefix) => name.startsWith(prefix));
}

/** What the UNet predicts can't be seen from its weights. */
function predictionTypeOf(
	checkpoint: Checkpoint,
	family: Family,
	path: string,
	options: OpenModelOptions,
): { predictionType: "epsilon" | "v_prediction"; note: string | null } {
	if (options.predictionType) return { predictionType: options.predictionType, note: null };
	if (family === "sd15") return { predictionType: "epsilon", note: null };
	const name = basename(path);
	const said = checkpoint.metadata.get("modelspec.prediction_type");
	if (said === "v" || said === "epsilon")
		return { predictionType: said === "v" ? "v_prediction" : "epsilon", note: null };
	const assume = (predictionType: "epsilon" | "v_prediction", why: string) => ({
		predictionType,
		note: `${name}: assuming that it predicts ${predictionType === "epsilon" ? "noise (epsilon)" : "velocity (v_prediction)"}, ${why}; say so if it is otherwise.`,
	});
	if (/512|base/i.test(name)) return assume("epsilon", "as its name suggests the 512 px model");
	if (/768/.test(name)) return assume("v_prediction", "as its name suggests the 768 px model");
	return assume("v_prediction", "as Stable Diffusion 2 at 768 px does");
}
