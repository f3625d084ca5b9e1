import { z } from "zod";
import { BETA_SCHEDULES } from "./betas.js";
import { PREDICTION_TYPES } from "./noise-schedule.js";
import { TIMESTEP_SPACINGS } from "./spacing.js";

/** The samplers, each with the diffusers class that its configuration files name. */
export const SAMPLER_CLASSES = {
	ddim: "DDIMScheduler",
	ddpm: "DDPMScheduler",
	pndm: "PNDMScheduler",
	euler: "EulerDiscreteScheduler",
	euler_ancestral: "EulerAncestralDiscreteScheduler",
	"dpmsolver++2m": "DPMSolverMultistepScheduler",
	unipc: "UniPCMultistepScheduler",
} as const;
export type SamplerName = keyof typeof SAMPLER_CLASSES;

const positiveInteger = z.int().positive();
const flag = z.boolean();
const off = z.literal(false);
const nothing = z.never("expected null");

/** The keys that mean something to one of the samplers, with the values supported here. */
const KEYS = {
	num_train_timesteps: positiveInteger,
	beta_start: z.number().gt(0).lt(1),
	beta_end: z.number().gt(0).lt(1),
	beta_schedule: z.enum(BETA_SCHEDULES),
	trained_betas: z.array(z.number().gt(0).lt(1)).nonempty(),
	prediction_type: z.enum(PREDICTION_TYPES),
	rescale_betas_zero_snr: flag,
	timestep_spacing: z.enum(TIMESTEP_SPACINGS),
	steps_offset: z.int().nonnegative(),
	set_alpha_to_one: flag,
	skip_prk_steps: flag,
	clip_sample: flag,
	clip_sample_range: z.number().positive(),
	variance_type: z.enum(["fixed_small", "fixed_large"]),
	use_karras_sigmas: flag,
	final_sigmas_type: z.enum(["zero", "sigma_min"]),
	solver_order: z.union([z.literal(1), z.literal(2)]),
	lower_order_final: flag,
	euler_at_final: flag,
	disable_corrector: z.array(z.int().nonnegative()),
	thresholding: off,
	algorithm_type: z.literal("dpmsolver++"),
	solver_type: z.string(),
	lambda_min_clipped: z.literal(Number.NEGATIVE_INFINITY),
	predict_x0: z.literal(true),
	interpolation_type: z.literal("linear"),
	timestep_type: z.literal("discrete"),
	use_exponential_sigmas: off,
	use_beta_sigmas: off,
	use_lu_lambdas: off,
	use_flow_sigmas: off,
	use_dynamic_shifting: off,
	sigma_min: nothing,
	sigma_max: nothing,
	shift_terminal: nothing,
	solver_p: nothing,
};
export type SchedulerKey = keyof typeof KEYS;

/** What was read; absent keys take their class's default. */
export type SchedulerValues = { [K in SchedulerKey]?: z.infer<(typeof KEYS)[K]> };

/** Keys that every class reads. */
const SCHEDULE_KEYS: readonly SchedulerKey[] = [
	"num_train_timesteps",
	"beta_start",
	"beta_end",
	"beta_schedule",
	"trained_betas",
	"prediction_type",
	"timestep_spacing",
	"steps_offset",
	// PNDM's class does not know this one, but its steps would be wrong for a model trained with it.
	"rescale_betas_zero_snr",
];
const SIGMA_KEYS: readonly SchedulerKey[] = [
	"use_karras_sigmas",
	"final_sigmas_type",
	"use_exponential_sigmas",
	"use_beta_sigmas",
];
const SOLVER_KEYS: readonly SchedulerKey[] = [
	...SIGMA_KEYS,
	"solver_order",
	"solver_type",
	"lower_order_final",
	"thresholding",
	"use_flow_sigmas",
	"use_dynamic_shifting",
];
const CLASS_KEYS: Record<SamplerName, readonly SchedulerKey[]> = {
	ddim: ["set_alpha_to_one", "clip_sample", "clip_sample_range", "thresholding"],
	ddpm: ["variance_type", "clip_sample", "clip_sample_range", "thresholding"],
	pndm: ["set_alpha_to_one", "skip_prk_steps"],
	euler: [...SIGMA_KEYS, "interpolation_type", "timestep_type", "sigma_min", "sigma_max"],
	euler_ancestral: [],
	"dpmsolver++2m": [
		...SOLVER_KEYS,
		"euler_at_final",
		"algorithm_type",
		"variance_type",
		"lambda_min_clipped",
		"use_lu_lambdas",
	],
	unipc: [...SOLVER_KEYS, "disable_corrector", "predict_x0", "solver_p", "sigma_min", "sigma_max", "shift_terminal"],
};

/** Keys that only qualify an option which is itself refused when it is on. */
const QUALIFIER_KEYS = ["dynamic_thresholding_ratio", "sample_max_value", "flow_shift", "time_shift_type"];

/** Whether any of the classes has this key: files carry the keys of the class they were converted from. */
export function isKnownKey(key: string): boolean {
	return key in KEYS || QUALIFIER_KEYS.includes(key);
}

/** Whether the class of this sampler reads the key. */
export function readsKey(sampler: SamplerName, key: SchedulerKey): boolean {
	return SCHEDULE_KEYS.includes(key) || CLASS_KEYS[sampler].includes(key);
}

/**
 * Checks the keys that a sampler reads, and passes over the others.
 *
 * @throws what `fail` makes of a sentence that begins with the key
 */
export function readSchedulerValues(
	raw: ReadonlyMap<string, unknown>,
	sampler: SamplerName,
	fail: (problem: string) => Error,
): SchedulerValues {
	const values: Record<string, unknown> = {};
	for (const key of [...SCHEDULE_KEYS, ...CLASS_KEYS[sampler]]) {
		const value = raw.get(key);
		if (value === undefined) continue;
		const result = KEYS[key].safeParse(value);
		if (!result.success) {
			const reason = result.error.issues[0]?.message.replace(/^Invalid \w+: /, "") ?? "not supported";
			throw fail(`"${key}" is ${JSON.stringify(value)}, which the ${sampler} sampler does not support (${reason}).`);
		}
		values[key] = result.data;
	}
	return values as SchedulerValues;
}
