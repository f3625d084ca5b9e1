// A recipe: everything that full training depends on, so that a run can be repeated.
import { FormatError } from "@dreamdist/core";
import { z } from "zod";
import { readJsonFile } from "../loading/json-file.js";

export const STAGES = ["classifier", "vae", "clip", "unet"] as const;
export type StageName = (typeof STAGES)[number];

const count = z.int().min(1);
const json = z.record(z.string(), z.unknown());

const data = z.strictObject({
	/** What scenes may be (`Constraints` of @dreamdist/world). */
	constraints: json.default({}),
	/** Share of captions that say everything main in the fixed order; the others are drawn. */
	plainCaptions: z.number().min(0).max(1).default(0.3),
	/** How much the drawn ones say, 0…1; null: drawn at random too. */
	captionDetail: z.number().min(0).max(1).nullable().default(null),
});

const training = {
	steps: count,
	/** Pictures a step. */
	batch: count,
	learningRate: z.number().positive(),
	warmupSteps: z.int().min(0).default(0),
	/** How the learning rate goes down after that; the steps at its end are those of the recipe. */
	schedule: z.enum(["constant", "linear", "cosine"]).default("cosine"),
	/**
	 * It stays up until so many steps before the end; null: it goes down from the warm-up on. Where the end of such a run is moved, the steps before both descents
	 * are the same ones.
	 */
	decaySteps: z.int().min(1).nullable().default(null),
	/** Share of the learning rate that is left at the end. */
	finalShare: z.number().min(0).max(1).default(0.05),
	beta1: z.number().min(0).lt(1).default(0.9),
	beta2: z.number().min(0).lt(1).default(0.99),
	/** Of weights with two or more axes. */
	weightDecay: z.number().min(0).default(0.01),
	maxGradientNorm: z.number().positive().default(1),
	/** Decay of the moving average that is evaluated and exported; null: the weights themselves. */
	ema: z.number().min(0).lt(1).nullable().default(null),
	data: data.prefault({}),
	/** Steps between lines of metrics.jsonl; each is the mean since the one before. */
	logEvery: count.default(10),
	checkpointEvery: count.default(500),
	evaluateEvery: count.default(1000),
	/** Held-out scenes of an evaluation. */
	evaluationPictures: count.default(256),
};

const recipe = z.strictObject({
	format: z.literal("dreamdist.recipe"),
	version: z.literal(1),
	name: z.string().min(1),
	/** Of everything random: weights, scenes, captions, noise. */
	seed: z
		.int()
		.min(0)
		.max(2 ** 20),
	tokenizer: z
		.strictObject({
			/** Most tokens that the vocabulary may have. */
			vocabulary: z.int().min(514).max(49408).default(4096),
			/** Captions it is made from. */
			captions: count.default(20_000),
		})
		.prefault({}),
	/** The networks' own configurations, as in the model folder. The text encoder's vocabulary is the tokenizer's. */
	networks: z.strictObject({
		classifier: json,
		vae: json,
		text_encoder: json,
		image_encoder: json,
		unet: json,
		scheduler: json,
	}),
	stages: z.strictObject({
		classifier: z.strictObject({ ...training, labelSmoothing: z.number().min(0).lt(1).default(0) }),
		vae: z.strictObject({
			...training,
			l1: z.number().min(0).default(1),
			l2: z.number().min(0).default(1),
			/** Of the divergence per latent number. */
			kl: z.number().min(0).default(1e-4),
		}),
		clip: z.strictObject({
			...training,
			initialTemperature: z.number().positive().default(0.07),
			/** Positions of a caption that are computed; later ones teach nothing, as the end token does not see them. */
			captionLength: z.int().min(3).max(77).default(77),
		}),
		unet: z.strictObject({
			...training,
			/** Share of captions left empty, for guidance. */
			emptyCaptions: z.number().min(0).max(1).default(0.1),
			/** Scenes that are drawn and encoded once, of which the steps take theirs at random; null: new scenes every step. */
			pool: count.nullable().default(null),
			/**
			 * Where in the schedule timesteps are drawn: logit(t) is `logit(center)` and `spread` times a logistic number, so that 0.5 and 1 are uniform. A small latent
			 * picture takes its shape at higher noise than a large one (Hoogeboom et al. 2023; Esser et al. 2024 draw t so).
			 */
			timesteps: z
				.strictObject({
					center: z.number().gt(0).lt(1).default(0.5),
					spread: z.number().positive().default(1),
				})
				.prefault({}),
			/** Min-SNR weighting (Hang et al. 2023); null: none. */
			snrGamma: z.number().positive().nullable().default(null),
			/** Guidance of the sample grids, and what the model recommends. */
			guidance: z.number().default(4),
			/** What the model recommends for learned prompts; null: the same. */
			learnedGuidance: z.number().nullable().default(null),
			/** Sampling steps of the sample grids. */
			sampleSteps: count.default(25),
		}),
	}),
});

export type Recipe = z.infer<typeof recipe>;
export type RecipeData = z.infer<typeof data>;
/** What every stage has. */
export type TrainingSettings = { [K in keyof typeof training]: z.infer<(typeof training)[K]> };

/**
 * Checks a recipe and fills in what it leaves to the defaults.
 *
 * @throws FormatError `BAD_RECIPE` naming the key
 */
export function parseRecipe(value: unknown, source = "recipe"): Recipe {
	const result = recipe.safeParse(value);
	if (result.success) return result.data;
	const issue = result.error.issues[0]!;
	const where = issue.path.length > 0 ? `"${issue.path.join(".")}": ` : "";
	throw new FormatError("BAD_RECIPE", source, `${source} is not a recipe: ${where}${issue.message}.`);
}

/** @throws FileError or FormatError naming the file */
export async function readRecipe(path: string): Promise<Recipe> {
	return parseRecipe(await readJsonFile(path), path);
}
