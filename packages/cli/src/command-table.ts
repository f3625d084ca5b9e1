// Every command: a name, a line of help, and where its module is. Only the module of the command asked for is loaded.
import type { CommandModule } from "./context.js";

export interface CommandRow {
	readonly name: string;
	readonly summary: string;
	/** Left out of the list of commands. */
	readonly hidden?: boolean;
	load(): Promise<CommandModule>;
}

export const commandTable: readonly CommandRow[] = [
	{
		name: "train",
		summary: "learn a distribution of prompts from pictures",
		load: async () => (await import("./commands/train.js")).default,
	},
	{
		name: "inspect",
		summary: "say what a distribution or a run has learned, or what a model is",
		load: async () => (await import("./commands/inspect.js")).default,
	},
	{
		name: "export",
		summary: "write a distribution for other programs: conditioning, .npz or an embedding",
		load: async () => (await import("./commands/export.js")).default,
	},
	{
		name: "import",
		summary: "read a distribution or an embedding of another program",
		load: async () => (await import("./commands/import.js")).default,
	},
	{
		name: "doctor",
		summary: "report versions, the native engine, processor, memory and devices",
		load: async () => (await import("./commands/doctor.js")).default,
	},
	{
		name: "native",
		summary: "build the native engine on this machine",
		load: async () => (await import("./commands/native.js")).default,
	},
	{
		name: "generate",
		summary: "make pictures from a text or from learned distributions",
		load: async () => (await import("./commands/generate.js")).default,
	},
	{
		name: "pull",
		summary: "fetch a model from the Hugging Face Hub into its cache on this machine",
		load: async () => (await import("./commands/pull.js")).default,
	},
	{
		name: "eval",
		summary: "measure generated pictures against real ones: FID, CLIP-I, DINO, coverage and more",
		load: async () => (await import("./commands/eval.js")).default,
	},
	{
		name: "study",
		summary: "let people judge the pictures of a comparison, not knowing whose they are",
		load: async () => (await import("./commands/study.js")).default,
	},
	{
		name: "compare",
		summary: "compare methods on reference sets: train, paint, measure, one table",
		load: async () => (await import("./commands/compare.js")).default,
	},
	{
		name: "verify",
		summary: "compare every part of the engine with reference numbers on this machine",
		load: async () => (await import("./commands/verify.js")).default,
	},
	{
		name: "tune",
		summary: "measure how a card computes a model's shapes fastest, and remember it",
		load: async () => (await import("./commands/tune.js")).default,
	},
	{
		name: "init",
		summary: "write a model folder with random weights, for tests and benchmarks",
		load: async () => (await import("./commands/init.js")).default,
	},
	{
		name: "pretrain",
		summary: "train a small text-to-image model from nothing, by a recipe",
		load: async () => (await import("./commands/pretrain.js")).default,
	},
	{
		name: "demo",
		summary: "learn from a reference set with the embedded model and show it all on one page",
		load: async () => (await import("./commands/demo.js")).default,
	},
	{
		name: "engine-demo",
		summary: "train a small network on the engine",
		hidden: true,
		load: async () => (await import("./commands/engine-demo.js")).default,
	},
];
