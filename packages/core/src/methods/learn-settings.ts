// What a run of learning can be told, with the paper's values as defaults.
import { z } from "zod";
import { RESIZE_FILTERS } from "../data/image/resample.js";
import { RECOMPUTE_LEVELS } from "../diffusion/interfaces.js";
import { ArgumentError } from "../errors.js";
import { ORTHOGONAL_LOSSES } from "./prompts/features.js";
import { CLASS_POSITIONS } from "./prompts/frame.js";

const whole = (least: number) => z.int("must be a whole number").min(least, `must be at least ${least}`);
const atLeast = (least: number) => z.number("must be a number").min(least, `must be at least ${least}`);
const share = z.number("must be a number").min(0, "must be from 0 to 1").lt(1, "must be below 1");

export const LEARNING_RATE_SCHEDULES = ["constant", "linear", "cosine"] as const;

/** Everything that decides what is learned. Changing any of it but `steps` and `recompute` makes another run. */
export const learnSettingsSchema = z.strictObject({
	/** K */
	prompts: whole(1).default(32),
	/** M, learnable vectors per prompt. */
	vectors: whole(1).default(4),
	/** S, prompts sampled per picture and step. */
	samples: whole(1).default(4),
	/** λ */
	orthogonalWeight: atLeast(0).default(5e-3),
	/** "paper": |cos|; "official": cos². */
	orthogonal: z.enum(ORTHOGONAL_LOSSES).default("paper"),
	steps: whole(1).default(1500),
	learningRate: z.number("must be a number").positive("must be above 0").default(1e-3),
	/** How the learning rate goes from the end of the warm-up to the last step. */
	schedule: z.enum(LEARNING_RATE_SCHEDULES).default("constant"),
	/** Steps over which the learning rate rises from 0. */
	warmupSteps: whole(0).default(0),
	/** Pictures of one run of the program. */
	batch: whole(1).default(1),
	/** Runs whose gradients make one step. */
	accumulate: whole(1).default(1),
	weightDecay: atLeast(0).default(0.01),
	beta1: share.default(0.9),
	beta2: share.default(0.999),
	eps: z.number("must be a number").positive("must be above 0").default(1e-8),
	/** Largest global norm of the gradient. */
	maxGradientNorm: z.number("must be a number").positive("must be above 0").default(1),
	/** γ of min-SNR weighting; null: errors count as they are. */
	snrGamma: z.number("must be a number").positive("must be above 0").nullable().default(null),
	/** "min-snr" fits the prediction type; "min-snr-epsilon" is the official code's, whatever is predicted. */
	snrWeighting: z.enum(["min-snr", "min-snr-epsilon"]).default("min-snr"),
	/** Normal noise of this scale, one number per picture and channel, added to ε. */
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
	prefix: z.string("must be text").default(""),
	suffix: z.string("must be text").default(""),
	/** Text whose token embeddings the vectors start from. Null: normal numbers. */
	initialWords: z.string("must be text").min(1, "must not be empty").nullable().default(null),
	/** Deviation of the normal numbers the vectors start from, or that are added to the words'. Null: 0.02, with words 0.002. */
	initialDeviation: atLeast(0).nullable().default(null),
	/** Pictures are in folders named after their classes; each class has its own K prompts. */
	classes: z.boolean("must be true or false").default(false),
	classPosition: z.enum(CLASS_POSITIONS).default("end"),
	/** With classes: "rows" moves the classes of a step's pictures alone; "dense" all of them, as the official code does. */
	adam: z.enum(["rows", "dense"]).default("rows"),
	/** What the denoiser's gradient computes again instead of keeping it: "blocks" needs the least memory, "nothing" is the fastest. */
	recompute: z.enum(RECOMPUTE_LEVELS).default("nothing"),
	seed: z.int("must be a whole number").min(0, "must not be negative").default(0),
});

/** Checked settings, with every default but the model's own size filled in. */
export type ParsedLearnSettings = z.infer<typeof learnSettingsSchema>;
/** All that a run of learning is decided by. */
export type LearnSettings = Omit<ParsedLearnSettings, "size"> & { size: [width: number, height: number] };
export type LearnSettingsInput = z.input<typeof learnSettingsSchema>;

/** Values of `--preset`: "paper" is the defaults, "official" those of the published script, "mini" what suits the small embedded model. */
export const LEARN_PRESETS: Readonly<Record<"paper" | "official" | "mini", LearnSettingsInput>> = {
	paper: {},
	official: {
		samples: 3,
		orthogonalWeight: 1e-3,
		orthogonal: "official",
		steps: 1000,
		accumulate: 4,
		snrGamma: 5,
		snrWeighting: "min-snr-epsilon",
		adam: "dense",
	},
	mini: { prompts: 16, vectors: 6, batch: 4, steps: 300, initialDeviation: 0.02 },
};

/**
 * Checks settings and fills in the defaults.
 *
 * @throws ArgumentError naming the key; a key that does not exist is named with the nearest that does
 */
export function readLearnSettings(input: unknown, source = "settings"): ParsedLearnSettings {
	const parsed = learnSettingsSchema.safeParse(input);
	if (!parsed.success) throw new ArgumentError(`${source}: ${explain(parsed.error.issues[0]!)}`);
	const settings = parsed.data;
	if (settings.maxTimestep !== null && settings.maxTimestep <= settings.minTimestep)
		throw new ArgumentError(
			`${source}: maxTimestep ${settings.maxTimestep} must be above minTimestep ${settings.minTimestep}`,
		);
	return settings;
}

function explain(issue: z.core.$ZodIssue): string {
	if (issue.code === "unrecognized_keys") {
		const key = issue.keys[0]!;
		const near = nearest(key, Object.keys(learnSettingsSchema.shape));
		return `there is no setting "${key}"${near ? `; did you mean "${near}"?` : ""}`;
	}
	const path = issue.path.join(".");
	return path === "" ? `${issue.message}` : `"${path}" ${issue.message}`;
}

/** The name that takes the fewest edits to reach, if that is at most a third of its letters. */
export function nearest(name: string, names: readonly string[]): string | null {
	let best: string | null = null;
	let fewest = Number.POSITIVE_INFINITY;
	for (const other of names) {
		const edits = editDistance(name.toLowerCase(), other.toLowerCase());
		if (edits < fewest && edits <= Math.max(1, Math.ceil(other.length / 3))) {
			best = other;
			fewest = edits;
		}
	}
	return best;
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
	let row = Array.from({ length: b.length + 1 }, (_, i) => i);
	for (let i = 1; i <= a.length; i++) {
		const next = [i];
		for (let j = 1; j <= b.length; j++) {
			const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
			next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1));
		}
		row = next;
	}
	return row[b.length]!;
}

/** Learning rate of a step, counted from 1. */
export function learningRateAt(
	step: number,
	settings: Pick<LearnSettings, "learningRate" | "schedule" | "warmupSteps" | "steps">,
): number {
	const { learningRate, schedule, warmupSteps, steps } = settings;
	if (step <= warmupSteps) return (learningRate * step) / warmupSteps;
	const progress = Math.min(1, (step - 1 - warmupSteps) / Math.max(1, steps - warmupSteps));
	if (schedule === "linear") return learningRate * (1 - progress);
	if (schedule === "cosine") return (learningRate * (1 + Math.cos(Math.PI * progress))) / 2;
	return learningRate;
}
