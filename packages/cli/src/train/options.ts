// The options of `train` and the settings they stand for.
import type { LearnOptions } from "@dreamdist/core";
import { type Command, InvalidArgumentError, Option } from "commander";

/** What commander makes of the options; those not given are absent. */
export interface TrainArguments {
	model?: string;
	out?: string;
	resume?: string | true;
	config?: string;
	set?: string;
	preset?: "paper" | "official" | "mini";
	checkpointEvery?: number;
	keep?: number;
	sampleEvery?: number;
	validationPrompts?: string[];
	tensorboard?: boolean;
	method?: string;
	prior?: string;
}

/** As `@dreamdist/models` and `@dreamdist/core` have them, which help must not load. */
export const METHOD_NAMES = [
	"dream-distribution",
	"textual-inversion",
	"dreambooth",
	"dreambooth-lora",
	"custom-diffusion",
	"short-caption",
	"long-caption",
] as const;

function parseNumber(value: string): number {
	const number = Number(value);
	if (value.trim() !== "" && Number.isFinite(number)) return number;
	throw new InvalidArgumentError("It must be a number.");
}

function parseSize(value: string): [number, number] {
	const match = /^(\d+)(?:x(\d+))?$/i.exec(value);
	if (match) return [Number(match[1]), Number(match[2] ?? match[1])];
	throw new InvalidArgumentError("A size is one number for a square, or WIDTHxHEIGHT in pixels.");
}

interface SettingOption<Key extends string = keyof LearnOptions> {
	/** Key of the settings. */
	readonly setting: Key;
	readonly flags: string;
	readonly text: string;
	readonly parse?: (value: string) => unknown;
	readonly choices?: readonly string[];
}

const number = parseNumber;

/** One option per setting. Ranges are checked with the settings of a configuration file, in one place. */
const SETTING_OPTIONS: readonly SettingOption[] = [
	{ setting: "prompts", flags: "--prompts <K>", text: "prompts to learn (32)", parse: number },
	{ setting: "vectors", flags: "--tokens <M>", text: "learnable vectors per prompt (4)", parse: number },
	{ setting: "samples", flags: "--samples <S>", text: "prompts sampled per picture and step (4)", parse: number },
	{ setting: "steps", flags: "--steps <n>", text: "steps in all (1500)", parse: number },
	{ setting: "learningRate", flags: "--lr <rate>", text: "learning rate (0.001)", parse: number },
	{
		setting: "schedule",
		flags: "--schedule <kind>",
		text: "how it goes (constant)",
		choices: ["constant", "linear", "cosine"],
	},
	{ setting: "warmupSteps", flags: "--warmup <n>", text: "steps over which it rises (0)", parse: number },
	{
		setting: "orthogonalWeight",
		flags: "--ortho-weight <λ>",
		text: "weight of the orthogonal loss (0.005)",
		parse: number,
	},
	{
		setting: "orthogonal",
		flags: "--ortho <kind>",
		text: "the paper's |cos| or the official code's cos² (paper)",
		choices: ["paper", "official"],
	},
	{ setting: "batch", flags: "--batch <B>", text: "pictures at once (1)", parse: number },
	{
		setting: "accumulate",
		flags: "--accumulate <n>",
		text: "batches whose gradients make one step (1)",
		parse: number,
	},
	{ setting: "size", flags: "--size <pixels>", text: "side, or WIDTHxHEIGHT (the model's own)", parse: parseSize },
	{ setting: "crop", flags: "--crop <kind>", text: "where pictures are cut (random)", choices: ["random", "center"] },
	{
		setting: "filter",
		flags: "--filter <kind>",
		text: "how pictures are resized (bilinear)",
		choices: ["bilinear", "bicubic", "lanczos"],
	},
	{ setting: "prefix", flags: "--prefix <text>", text: "text before the learned vectors" },
	{ setting: "suffix", flags: "--suffix <text>", text: "text after them" },
	{ setting: "initialWords", flags: "--init-words <text>", text: "words whose embeddings the vectors start from" },
	{
		setting: "initialDeviation",
		flags: "--init-std <σ>",
		text: "deviation of the numbers they start from (0.02; with words 0.002)",
		parse: number,
	},
	{
		setting: "classPosition",
		flags: "--class-position <where>",
		text: "where the class name stands (end)",
		choices: ["end", "middle", "front"],
	},
	{
		setting: "adam",
		flags: "--adam <kind>",
		text: "with classes: move those of a step's pictures, or all (rows)",
		choices: ["rows", "dense"],
	},
	{ setting: "weightDecay", flags: "--weight-decay <λ>", text: "AdamW's weight decay (0.01)", parse: number },
	{ setting: "beta1", flags: "--beta1 <β>", text: "AdamW's β1 (0.9)", parse: number },
	{ setting: "beta2", flags: "--beta2 <β>", text: "AdamW's β2 (0.999)", parse: number },
	{ setting: "eps", flags: "--eps <ε>", text: "AdamW's ε (1e-8)", parse: number },
	{
		setting: "maxGradientNorm",
		flags: "--clip <norm>",
		text: "largest global norm of the gradient (1)",
		parse: number,
	},
	{ setting: "snrGamma", flags: "--snr-gamma <γ>", text: "min-SNR weighting of timesteps (off)", parse: number },
	{
		setting: "snrWeighting",
		flags: "--snr-weighting <kind>",
		text: "in the form that fits the model, or the official code's (min-snr)",
		choices: ["min-snr", "min-snr-epsilon"],
	},
	{
		setting: "noiseOffset",
		flags: "--noise-offset <scale>",
		text: "noise of one number per picture and channel (0)",
		parse: number,
	},
	{ setting: "minTimestep", flags: "--min-timestep <t>", text: "first timestep that is drawn (0)", parse: number },
	{
		setting: "maxTimestep",
		flags: "--max-timestep <t>",
		text: "timestep before which drawing ends (the schedule's end)",
		parse: number,
	},
	{
		setting: "recompute",
		flags: "--recompute <what>",
		text: "what backward computes again to save memory: nothing, geglu or blocks (nothing)",
		choices: ["nothing", "geglu", "blocks"],
	},
	{ setting: "seed", flags: "--seed <n>", text: "seed of everything random (0)", parse: number },
];

const FLAGS: readonly { setting: keyof LearnOptions; flags: string; text: string }[] = [
	{ setting: "flip", flags: "--flip", text: "mirror half of the pictures" },
	{ setting: "classes", flags: "--classes", text: "pictures are in IMAGES/CLASS/; each class has its own prompts" },
];

/** What only other methods have. */
const METHOD_OPTIONS: readonly SettingOption<string>[] = [
	{ setting: "caption", flags: "--caption <text>", text: "short-caption, long-caption: the pictures in words" },
	{
		setting: "placeholder",
		flags: "--placeholder <word>",
		text: "textual-inversion, custom-diffusion: what prompts call what is learned (<concept>, <new1>)",
	},
	{
		setting: "templates",
		flags: "--templates <kind>",
		text: "textual-inversion: the sentences around it (object)",
		choices: ["object", "style", "plain"],
	},
	{
		setting: "instancePrompt",
		flags: "--instance-prompt <text>",
		text: 'dreambooth, custom-diffusion: what the pictures are called ("a photo of sks", "photo of a <new1>")',
	},
	{
		setting: "classPrompt",
		flags: "--class-prompt <text>",
		text: "dreambooth, custom-diffusion: the class, whose pictures must stay as they are (no prior)",
	},
	{
		setting: "priorPictures",
		flags: "--prior-pictures <n>",
		text: "pictures of the class (100; custom-diffusion: 200)",
		parse: number,
	},
	{ setting: "priorWeight", flags: "--prior-weight <w>", text: "weight of their error (1)", parse: number },
	{ setting: "rank", flags: "--rank <r>", text: "dreambooth-lora: rank of the changes (4)", parse: number },
	{
		setting: "projections",
		flags: "--projections <which>",
		text: "custom-diffusion: projections of the cross-attentions to train (kv)",
		choices: ["kv", "all"],
	},
];

const METHOD_FLAGS: readonly { setting: string; flags: string; text: string }[] = [
	{ setting: "trainTextEncoder", flags: "--train-text-encoder", text: "dreambooth: train the text encoder too" },
	{
		setting: "zoom",
		flags: "--no-zoom",
		text: "custom-diffusion: pictures as they are, never smaller or larger",
	},
];

const ALL_SETTINGS: readonly { setting: string; flags: string }[] = [
	...SETTING_OPTIONS,
	...METHOD_OPTIONS,
	...FLAGS,
	...METHOD_FLAGS,
];

/** Name under which commander stores an option. */
function attribute(flags: string): string {
	return new Option(flags).attributeName();
}

export function addTrainOptions(command: Command): void {
	command
		.argument("[images...]", "folders, files or patterns of pictures")
		.option(
			"--model <model>",
			"mini, which is embedded; a folder, .safetensors file, or name of a model that `pull` has fetched (mini)",
		)
		.option("--set <name>", "learn from this reference set of the drawn world, where no pictures are named")
		.option("--out <run>", "run folder to write (runs/ and the set's name)")
		.option("--resume [run]", "go on with the run in this folder, or in --out")
		.option("--config <file>", "settings, pictures, model and run folder as JSON or YAML; options given beside it win")
		.addOption(
			new Option(
				"--preset <name>",
				"the paper's settings, those of the official script, or those that suit mini (with mini: mini; else: paper)",
			).choices(["paper", "official", "mini"]),
		);
	command.addOption(
		new Option("--method <name>", "what is learned, and how (dream-distribution)").choices([...METHOD_NAMES]),
	);
	for (const { flags, text, parse, choices } of [...SETTING_OPTIONS, ...METHOD_OPTIONS]) {
		const option = new Option(flags, text);
		if (parse) option.argParser(parse);
		if (choices) option.choices(choices);
		command.addOption(option);
	}
	for (const { flags, text } of [...FLAGS, ...METHOD_FLAGS]) command.option(flags, text);
	command
		.option("--prior <folder>", "pictures of the class; what is missing is painted into it (RUN/prior)")
		.option("--checkpoint-every <n>", "steps between checkpoints (100)", parseNumber)
		.option("--keep <n>", "checkpoints to keep; 0 keeps all (0)", parseNumber)
		.option("--sample-every <n>", "steps between grids of pictures; 0: none (0)", parseNumber)
		.option("--validation-prompts <texts...>", "rows of those grids: texts with {} where the learned prompt stands")
		.option("--tensorboard", "write event files for TensorBoard into RUN/tensorboard");
}

/** Settings by the names of their options, as a configuration file may have them: "lr", "ortho-weight". */
export function optionSettings(): Map<string, string> {
	return new Map(ALL_SETTINGS.map(({ flags, setting }) => [new Option(flags).name().replace(/^no-/, ""), setting]));
}

/** The settings that were given as options. */
export function givenSettings(options: TrainArguments): Record<string, unknown> {
	const values: Record<string, unknown> = { ...options };
	const given: Record<string, unknown> = {};
	for (const { setting, flags } of ALL_SETTINGS) {
		const value = values[attribute(flags)];
		// Commander says true for what a --no- option was not given.
		if (value !== undefined && !(flags.startsWith("--no-") && value === true)) given[setting] = value;
	}
	return given;
}
