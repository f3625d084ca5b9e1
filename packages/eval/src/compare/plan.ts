// What a comparison compares: sets with what is said of them, methods with their settings, and one way of sampling for all.
import { ArgumentError, LEARN_PRESETS, readLearnSettings, SAMPLER_NAMES } from "@dreamdist/core";
import { METHOD_LABELS, METHOD_SETTINGS, readMethodSettings } from "@dreamdist/models";
import { z } from "zod";

/** Every method that can be compared, in the order of the paper's Table 1. */
export const COMPARED_METHODS = [
	"short-caption",
	"long-caption",
	"textual-inversion",
	"dreambooth",
	"dreambooth-lora",
	"custom-diffusion",
	"dream-distribution",
] as const;
export type ComparedMethod = (typeof COMPARED_METHODS)[number];

/** Those of the paper. */
export const PAPER_METHODS: readonly ComparedMethod[] = COMPARED_METHODS.filter((name) => name !== "dreambooth-lora");

export const setTextsSchema = z.strictObject({
	/** The class in a word or two, as it stands after "a": "robot". */
	noun: z.string().min(1),
	shortCaption: z.string().min(1),
	longCaption: z.string().min(1),
});
/** What is said of a set: nothing else of it is known to the methods that read texts. */
export type SetTexts = z.infer<typeof setTextsSchema>;

/** Everything that results depend on besides the model, the pictures and the seeds. */
export const compareSettingsSchema = z.strictObject({
	/** Of the text encoder's weights, hexadecimal. */
	modelHash: z.string(),
	/** Pictures painted of each cell. */
	pictures: z.int().min(1),
	/** Null: the model's own. */
	size: z.tuple([z.int().min(8), z.int().min(8)]).nullable(),
	sampler: z.enum(SAMPLER_NAMES).nullable(),
	steps: z.int().min(1).nullable(),
	guidance: z.number().nullable(),
	/** Pictures of the class that each set's methods share. */
	priorPictures: z.int().min(1),
	/** Settings that differ from a method's defaults. In texts "{noun}" stands for the set's. */
	methods: z.record(z.string(), z.record(z.string(), z.unknown())),
	texts: z.record(z.string(), setTextsSchema),
	/** Where features are from: "own", a model's classifier and towers, or "public" encoders. */
	encoders: z.enum(["own", "public"]),
	/** Whose those are, as the user named it; null: the compared model's own. */
	instruments: z.string().nullable(),
});
export type CompareSettings = z.infer<typeof compareSettingsSchema>;

export interface SetToCompare {
	readonly name: string;
	/** Picture files; they are copied. */
	readonly references: readonly string[];
	readonly texts: SetTexts;
}

export interface ComparePlan {
	readonly model: string;
	readonly sets: readonly SetToCompare[];
	readonly methods: readonly ComparedMethod[];
	readonly seeds: readonly number[];
	readonly settings: Omit<CompareSettings, "texts" | "modelHash">;
}

type MethodTable = Readonly<Record<ComparedMethod, Readonly<Record<string, unknown>>>>;

/** Settings by the names of `--settings`. */
export const SETTINGS_TABLES: Readonly<Record<"public" | "mini", MethodTable>> = {
	/** Each method's own defaults, with prompts as its documentation writes them. */
	public: {
		"short-caption": {},
		"long-caption": {},
		"textual-inversion": { initialWords: "{noun}" },
		dreambooth: { instancePrompt: "a photo of sks {noun}", classPrompt: "a photo of a {noun}" },
		"dreambooth-lora": { instancePrompt: "a photo of sks {noun}", classPrompt: "a photo of a {noun}" },
		"custom-diffusion": { instancePrompt: "photo of a <new1> {noun}", classPrompt: "{noun}" },
		"dream-distribution": {},
	},
	/**
	 * For the embedded model, whose vocabulary and size are small; all see 1,200 pictures or fewer. Learning rates are those of the lowest FID on the set
	 * "practice" (docs/comparison.md has the figures), DreamDistribution's too: its preset learns more slowly, for the sake of edits. No other set was looked at.
	 */
	mini: {
		"short-caption": {},
		"long-caption": {},
		"textual-inversion": {
			initialWords: "{noun}",
			templates: "plain",
			steps: 300,
			batch: 4,
			accumulate: 1,
			learningRate: 1e-2,
			flip: false,
		},
		dreambooth: {
			instancePrompt: "a sks {noun}",
			classPrompt: "a {noun}",
			steps: 200,
			batch: 2,
			learningRate: 5e-4,
		},
		"dreambooth-lora": {
			instancePrompt: "a sks {noun}",
			classPrompt: "a {noun}",
			steps: 200,
			batch: 2,
			learningRate: 1e-3,
		},
		"custom-diffusion": {
			instancePrompt: "a <new1> {noun}",
			classPrompt: "a {noun}",
			initialWords: "{noun}",
			steps: 200,
			batch: 2,
			learningRate: 1e-3,
			flip: false,
		},
		"dream-distribution": { ...LEARN_PRESETS.mini, initialWords: "{noun}", learningRate: 1e-2 },
	},
};

/** A method's settings for one set: the table's, with the set's words in them. Not checked. */
export function settingsFor(method: ComparedMethod, settings: CompareSettings, set: string): Record<string, unknown> {
	const texts = settings.texts[set]!;
	if (method === "short-caption") return { caption: texts.shortCaption };
	if (method === "long-caption") return { caption: texts.longCaption };
	const own = Object.entries(settings.methods[method] ?? {}).map(([key, value]) => [
		key,
		typeof value === "string" ? value.replaceAll("{noun}", texts.noun) : value,
	]);
	const shape = method === "dream-distribution" ? {} : METHOD_SETTINGS[method].shape;
	return {
		...Object.fromEntries(own),
		...(settings.size && { size: settings.size }),
		...("priorPictures" in shape && { priorPictures: settings.priorPictures }),
	};
}

/** @throws ArgumentError naming the method and the key at fault, before anything is trained */
export function checkMethodSettings(methods: readonly ComparedMethod[], settings: CompareSettings): void {
	for (const key of Object.keys(settings.methods))
		if (!COMPARED_METHODS.some((name) => name === key))
			throw new ArgumentError(`there is no method "${key}"; there are ${COMPARED_METHODS.join(", ")}`);
	for (const method of methods)
		for (const set of Object.keys(settings.texts)) {
			const own = settingsFor(method, settings, set);
			if (method === "dream-distribution") readLearnSettings(own, METHOD_LABELS[method]);
			else readMethodSettings(method, own, METHOD_LABELS[method]);
		}
}
