// A model on disk, whatever its layout.
import type { SamplingDefaults, Tokenizer } from "@dreamdist/core";
import type { Component, ComponentKind } from "./components.js";

export interface OpenModelOptions {
	/** Hold weights in this precision instead of the one they are stored in. */
	dtype?: "f32" | "f16" | "bf16" | undefined;
	/** Folder of the tokenizer's files, where the model has none of its own. */
	tokenizer?: string | undefined;
	/** What the network predicts, where the model's files do not say (single-file checkpoints). */
	predictionType?: "epsilon" | "v_prediction" | undefined;
}

/** The parts of a model, each read when it is first asked for. Files stay mapped until it is disposed. */
export interface ModelFiles extends Disposable {
	/** What was opened. */
	readonly path: string;
	/** What had to be assumed, in sentences for the user. */
	readonly notes: readonly string[];
	load<Config>(kind: ComponentKind<Config>): Promise<Component<Config>>;
	/** The parsed scheduler_config.json, and how errors name it. */
	scheduler(): Promise<{ json: unknown; source: string }>;
	tokenizer(): Promise<Tokenizer>;
	/** How pictures come out best; empty where the model does not say. */
	sampling(): Promise<SamplingDefaults>;
	dispose(): void;
}
