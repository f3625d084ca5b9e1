// Settings of the methods that fine-tune: those of their public implementations (diffusers' examples, with the values their documentation
// trains with) as defaults.
import { ArgumentError, LEARNING_RATE_SCHEDULES, nearest, RECOMPUTE_LEVELS, RESIZE_FILTERS } from "@dreamdist/core";
import { z } from "zod";
import { TEMPLATE_SETS, type TemplateSet } from "./templates.js";

const whole = (least: number) => z.int("must be a whole number").min(least, `must be at least ${least}`);
const atLeast = (least: number) => z.number("must be a number").min(least, `must be at least ${least}`);
const positive = z.number("must be a number").positive("must be above 0");
const share = atLeast(0).lt(1, "must be below 1");
const text = z.string("must be text").min(1, "must not be empty");
/** A word that no vocabulary has, as prompts write it. */
const word = z
	.string("must be text")
	.regex(/^[^\s]*[^\s\p{L}\p{N}][^\s]*$/u, "must be one word with a sign that is no letter, such as <new1>");

/** What all methods share. */
const common = {
	steps: whole(1),
	learningRate: positive,
	schedule: z.enum(LEARNING_RATE_SCHEDULES).default("constant"),
	/** Steps over which the learning rate rises from 0. */
	warmupSteps: whole(0).default(0),
	/** Pictures to learn from of one run of the program; as many of the prior's beside them, where there is one. */
	batch: whole(1).default(1),
	/** Runs whose gradients make one step. */
	accumulate: whole(1).default(1),
	weightDecay: atLeast(0).default(0.01),
	beta1: share.default(0.9),
	beta2: share.default(0.999),
	eps: positive.default(1e-8),
	/** Largest global norm of the gradient; null: it is taken as it is. */
	maxGradientNorm: positive.nullable().default(1),
	/** γ of min-SNR weighting; null: errors count as they are. */
	snrGamma: positive.nullable().default(null),
	noiseOffset: atLeast(0).default(0),
	/** Timesteps are drawn from [minTimestep, maxTimestep). Null: to the schedule's end. */
	minTimestep: whole(0).default(0),
	maxTimestep: whole(1).nullable().default(null),
	/** Width and height in pixels. Null: what the model was trained at. */
	size: z
		.tuple([whole(8), whole(8)])
		.nullable()
		.default(null),
	crop: z.enum(["random", "center"]).default("random"),
	flip: z.boolean("must be true or false").default(false),
	filter: z.enum(RESIZE_FILTERS).default("bilinear"),
	recompute: z.enum(RECOMPUTE_LEVELS).default("nothing"),
	seed: whole(0).default(0),
};

/** What a method with a prior set has besides: pictures of the class that must stay as they are. */
const prior = {
	/** The class in words; null: no prior. */
	classPrompt: text.nullable().default(null),
	/** Pictures of the class, drawn by the model itself where they are not given. */
	priorPictures: whole(1),
	/** Weight of their error. */
	priorWeight: atLeast(0).default(1),
};

const templates = z.enum(Object.keys(TEMPLATE_SETS) as [TemplateSet, ...TemplateSet[]]);

export const textualInversionSettings = z.strictObject({
	...common,
	steps: common.steps.default(3000),
	// 5e-4 times the four pictures of a step.
	learningRate: common.learningRate.default(2e-3),
	accumulate: common.accumulate.default(4),
	maxGradientNorm: common.maxGradientNorm.default(null),
	flip: common.flip.default(true),
	filter: common.filter.default("bicubic"),
	/** What prompts call what is learned. */
	placeholder: word.default("<concept>"),
	/** Word whose embedding the vectors start from. */
	initialWords: text.default("object"),
	/** Vectors that the placeholder stands for. */
	vectors: whole(1).default(1),
	templates: templates.default("object"),
});
export type TextualInversionSettings = z.infer<typeof textualInversionSettings>;

const dreambooth = {
	...common,
	...prior,
	priorPictures: prior.priorPictures.default(100),
	/** What the pictures are called; the rare word in it is what the model learns. */
	instancePrompt: text.default("a photo of sks"),
	/** Train the text encoder too. */
	trainTextEncoder: z.boolean("must be true or false").default(false),
};

export const dreamboothSettings = z.strictObject({
	...dreambooth,
	steps: common.steps.default(800),
	learningRate: common.learningRate.default(5e-6),
});
export type DreamboothSettings = z.infer<typeof dreamboothSettings>;

export const dreamboothLoraSettings = z.strictObject({
	...dreambooth,
	steps: common.steps.default(500),
	learningRate: common.learningRate.default(1e-4),
	/** Of the products that are added to the attentions' projections. */
	rank: whole(1).default(4),
});
export type DreamboothLoraSettings = z.infer<typeof dreamboothLoraSettings>;

export const customDiffusionSettings = z.strictObject({
	...common,
	...prior,
	steps: common.steps.default(250),
	// 1e-5 times the two pictures of a step and the two of the prior.
	learningRate: common.learningRate.default(4e-5),
	batch: common.batch.default(2),
	flip: common.flip.default(true),
	priorPictures: prior.priorPictures.default(200),
	instancePrompt: text.default("photo of a <new1>"),
	placeholder: word.default("<new1>"),
	/** Rare word whose embedding the placeholder starts from. */
	initialWords: text.default("ktn"),
	/** Which projections of the cross-attentions are trained: keys and values, or all four. */
	projections: z.enum(["kv", "all"]).default("kv"),
	/** Show pictures smaller and larger, and say so in the prompt. */
	zoom: z.boolean("must be true or false").default(true),
});
export type CustomDiffusionSettings = z.infer<typeof customDiffusionSettings>;

/** Nothing is trained: a caption of the pictures, as a person writes it. */
export const captionSettings = z.strictObject({ caption: text });
export type CaptionSettings = z.infer<typeof captionSettings>;

export interface FinetuneSettingsByMethod {
	"textual-inversion": TextualInversionSettings;
	dreambooth: DreamboothSettings;
	"dreambooth-lora": DreamboothLoraSettings;
	"custom-diffusion": CustomDiffusionSettings;
}
export type FinetuneMethod = keyof FinetuneSettingsByMethod;
export type CaptionMethod = "short-caption" | "long-caption";
/** The settings of some method: what all of them have. */
export type FinetuneSettings = FinetuneSettingsByMethod[FinetuneMethod];

export const FINETUNE_METHODS = ["textual-inversion", "dreambooth", "dreambooth-lora", "custom-diffusion"] as const;
export const CAPTION_METHODS = ["short-caption", "long-caption"] as const;

/** Every method's settings, by its name. */
export const METHOD_SETTINGS = {
	"textual-inversion": textualInversionSettings,
	dreambooth: dreamboothSettings,
	"dreambooth-lora": dreamboothLoraSettings,
	"custom-diffusion": customDiffusionSettings,
	"short-caption": captionSettings,
	"long-caption": captionSettings,
} as const;

/** How tables and pages call a method. */
export const METHOD_LABELS: Readonly<Record<FinetuneMethod | CaptionMethod | "dream-distribution", string>> = {
	"short-caption": "Short Caption",
	"long-caption": "Long Caption",
	"textual-inversion": "Textual Inversion",
	dreambooth: "DreamBooth",
	"dreambooth-lora": "DreamBooth (LoRA)",
	"custom-diffusion": "Custom Diffusion",
	"dream-distribution": "DreamDistribution",
};

/**
 * Checks a method's settings and fills in its defaults.
 *
 * @throws ArgumentError naming the key; a key that the method does not have is named with the nearest that it has
 */
export function readMethodSettings<M extends keyof typeof METHOD_SETTINGS>(
	method: M,
	input: unknown,
	source: string = method,
): z.infer<(typeof METHOD_SETTINGS)[M]> {
	const schema = METHOD_SETTINGS[method];
	const parsed = schema.safeParse(input);
	if (parsed.success) return parsed.data as z.infer<(typeof METHOD_SETTINGS)[M]>;
	const issue = parsed.error.issues[0]!;
	if (issue.code === "unrecognized_keys") {
		const key = issue.keys[0]!;
		const near = nearest(key, Object.keys(schema.shape));
		throw new ArgumentError(
			`${source}: ${METHOD_LABELS[method]} has no setting "${key}"${near ? `; did you mean "${near}"?` : ""}`,
		);
	}
	throw new ArgumentError(`${source}: "${issue.path.join(".")}" ${issue.message}`);
}
