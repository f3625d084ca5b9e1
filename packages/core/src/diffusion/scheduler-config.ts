import { ArgumentError, FormatError } from "../errors.js";
import type { NoiseScheduleOptions, PredictionType } from "./noise-schedule.js";
import {
	isKnownKey,
	readSchedulerValues,
	readsKey,
	SAMPLER_CLASSES,
	type SamplerName,
	type SchedulerKey,
	type SchedulerValues,
} from "./scheduler-keys.js";
import type { TimestepSpacing } from "./spacing.js";

/** DPM-Solver++ with Karras noise levels, under the name it is known by. */
const KARRAS_NAME = "dpmsolver++2m_karras";

/** Every name that {@link SchedulerOverrides.sampler} takes, in the order to show them. */
export const SAMPLER_NAMES: readonly string[] = [...Object.keys(SAMPLER_CLASSES), KARRAS_NAME];

/** A scheduler configuration with every default filled in. */
export interface SchedulerConfig extends NoiseScheduleOptions {
	sampler: SamplerName;
	timestepSpacing: TimestepSpacing;
	/** Added to every timestep of `leading` spacing. */
	stepsOffset: number;
	/** DDIM and PNDM: whether the last step ends at ᾱ = 1 rather than at ᾱ of timestep 0. */
	setAlphaToOne: boolean;
	/** DDIM and DDPM: the predicted clean sample is clamped to ± this; null leaves it alone. */
	clipSample: number | null;
	/** DDPM: the variance of the noise added back: the posterior's (small) or β itself (large). */
	varianceType: "fixed_small" | "fixed_large";
	/** Euler, DPM-Solver++ and UniPC: noise levels spaced as Karras et al. 2022 do. */
	useKarrasSigmas: boolean;
	/** Euler, DPM-Solver++ and UniPC: where the last step ends, at no noise or at the noise of timestep 0. */
	finalSigmas: "zero" | "sigma_min";
	/** DPM-Solver++ and UniPC. */
	solverOrder: 1 | 2;
	/** DPM-Solver++ (below 15 steps) and UniPC: take the last step with order 1. */
	lowerOrderFinal: boolean;
	/** DPM-Solver++: take the last step with order 1 whatever the number of steps. */
	eulerAtFinal: boolean;
	/** UniPC: steps (from 0) whose result is not corrected. */
	disableCorrector: readonly number[];
}

/** What a caller may set in place of what the file says. */
export interface SchedulerOverrides {
	/** One of {@link SAMPLER_NAMES} or a diffusers class name; `dpmsolver++2m_karras` also sets `useKarrasSigmas`. */
	sampler?: string | undefined;
	timestepSpacing?: TimestepSpacing | undefined;
	stepsOffset?: number | undefined;
	useKarrasSigmas?: boolean | undefined;
	predictionType?: PredictionType | undefined;
	rescaleBetasZeroSnr?: boolean | undefined;
}

export interface ReadSchedulerOptions {
	overrides?: SchedulerOverrides;
	/** How error messages name the configuration, usually its path. */
	source?: string;
	/**
	 * Whose defaults fill in what the file leaves out. diffusers before 0.26 ended DPM-Solver++ and UniPC at the
	 * noise level of timestep 0; later releases end at zero.
	 */
	defaults?: "diffusers" | "diffusers-0.24";
	/**
	 * The samples are latents, as in Stable Diffusion's pipeline: they are never clipped to ±1, and leading timesteps
	 * start at 1 unless overridden. Old files leave both out, and the classes' defaults are for pixels.
	 */
	latents?: boolean;
}

/**
 * Reads a diffusers `scheduler_config.json`.
 *
 * A sampler other than the file's takes the values that are written in the file and its own defaults for the rest, as
 * diffusers' `from_config` does: a DDIM file without `timestep_spacing` gives Euler its `linspace`, not DDIM's `leading`.
 *
 * @param json the parsed file ({@link parseSchedulerJson}); `_class_name` may be absent when a sampler is given
 * @throws FormatError `BAD_SCHEDULER_CONFIG` naming the key whose value is not supported; ArgumentError for an override
 */
export function readSchedulerConfig(json: unknown, options: ReadSchedulerOptions = {}): SchedulerConfig {
	const { overrides = {}, source = "scheduler configuration" } = options;
	const fail = (problem: string): FormatError =>
		new FormatError("BAD_SCHEDULER_CONFIG", source, `${source}: ${problem}`);
	if (typeof json !== "object" || json === null || Array.isArray(json)) throw fail("this is not a JSON object.");

	const raw = new Map(Object.entries(json).filter(([key, value]) => !key.startsWith("_") && value !== null));
	const className = "_class_name" in json ? json._class_name : undefined;
	const sampler = overrides.sampler === undefined ? ownSampler(className, fail) : namedSampler(overrides.sampler);
	// A file that names no class was written for the sampler that the caller gives.
	const isSwapped = className !== undefined && className !== SAMPLER_CLASSES[sampler];
	if (!isSwapped) refuseUnknownKeys(raw, fail);

	const values = { ...readSchedulerValues(raw, sampler, fail), ...overrideValues(overrides, sampler) };
	// Whoever asks for PNDM in place of another class wants the variant that latent diffusion uses.
	if (sampler === "pndm" && isSwapped) values.skip_prk_steps ??= true;
	if (options.latents) {
		values.clip_sample = false;
		values.steps_offset = overrides.stepsOffset ?? 1;
	}
	refuseCombinations(values, sampler, fail);
	return withDefaults(values, sampler, options.defaults === "diffusers-0.24");
}

/** {@link readSchedulerConfig}'s input from a file's text; takes the `-Infinity` and `NaN` that Python writes. */
export function parseSchedulerJson(text: string, source: string): unknown {
	// Either a whole string, which stays, or one of Python's constants outside of strings.
	const standard = text.replace(/"(?:[^"\\]|\\.)*"|-?\bInfinity\b|\bNaN\b/g, (token) => {
		if (token.startsWith('"')) return token;
		return token === "NaN" ? "null" : token.startsWith("-") ? "-1e999" : "1e999";
	});
	try {
		return JSON.parse(standard);
	} catch (cause) {
		const reason = cause instanceof Error ? cause.message : String(cause);
		throw new FormatError("BAD_SCHEDULER_CONFIG", source, `${source} is not valid JSON (${reason}).`, { cause });
	}
}

function namedSampler(name: string): SamplerName {
	const found = findSampler(name === KARRAS_NAME ? "dpmsolver++2m" : name);
	if (!found) throw new ArgumentError(`Unknown sampler "${name}". The samplers are ${SAMPLER_NAMES.join(", ")}.`);
	return found;
}

function ownSampler(className: unknown, fail: (problem: string) => Error): SamplerName {
	const found = typeof className === "string" && !(className in SAMPLER_CLASSES) ? findSampler(className) : undefined;
	if (found) return found;
	const instead = `name one of the samplers ${SAMPLER_NAMES.join(", ")} to use instead`;
	if (className === undefined) throw fail(`"_class_name" is missing; ${instead}.`);
	throw fail(`"_class_name" is ${JSON.stringify(className)}, which is not supported; ${instead}.`);
}

function findSampler(name: string): SamplerName | undefined {
	for (const [sampler, className] of Object.entries(SAMPLER_CLASSES)) {
		if (name === sampler || name === className) return sampler as SamplerName;
	}
	return undefined;
}

function refuseUnknownKeys(raw: ReadonlyMap<string, unknown>, fail: (problem: string) => Error): void {
	for (const [key, value] of raw) {
		if (!isKnownKey(key) && value !== false) throw fail(`"${key}" is not a known key; remove it if it may be ignored.`);
	}
}

function overrideValues(overrides: SchedulerOverrides, sampler: SamplerName): SchedulerValues {
	const raw = new Map<string, unknown>();
	const set = (key: SchedulerKey, value: unknown): void => {
		if (value === undefined) return;
		if (!readsKey(sampler, key) && value !== false) {
			throw new ArgumentError(`The ${sampler} sampler has no option "${key}".`);
		}
		raw.set(key, value);
	};
	set("use_karras_sigmas", overrides.useKarrasSigmas ?? (overrides.sampler === KARRAS_NAME ? true : undefined));
	set("timestep_spacing", overrides.timestepSpacing);
	set("steps_offset", overrides.stepsOffset);
	set("prediction_type", overrides.predictionType);
	set("rescale_betas_zero_snr", overrides.rescaleBetasZeroSnr);
	return readSchedulerValues(raw, sampler, (problem) => new ArgumentError(`Sampler option ${problem}`));
}

/** The multistep classes name their solver types differently and take each other's names for their default. */
const SOLVER_TYPES: Partial<Record<SamplerName, readonly string[]>> = {
	"dpmsolver++2m": ["midpoint", "logrho", "bh1", "bh2"],
	unipc: ["bh2", "midpoint", "heun", "logrho"],
};

function refuseCombinations(values: SchedulerValues, sampler: SamplerName, fail: (problem: string) => Error): void {
	const { trained_betas: betas, num_train_timesteps: timesteps, solver_type: solverType } = values;
	const solverTypes = SOLVER_TYPES[sampler];
	if (solverTypes && solverType !== undefined && !solverTypes.includes(solverType)) {
		throw fail(`"solver_type" is "${solverType}"; the ${sampler} sampler supports "${solverTypes[0]}".`);
	}
	if (betas && betas.length !== (timesteps ?? betas.length)) {
		throw fail(`"trained_betas" has ${betas.length} values for ${timesteps} training timesteps.`);
	}
	if (sampler !== "pndm") return;
	if (!values.skip_prk_steps) throw fail('"skip_prk_steps" must be true: Runge–Kutta steps are not supported.');
	if (values.prediction_type === "sample") throw fail('"prediction_type" is "sample", which pndm does not support.');
	if (values.rescale_betas_zero_snr) throw fail('"rescale_betas_zero_snr" is true, which pndm does not support.');
}

function withDefaults(values: SchedulerValues, sampler: SamplerName, isBefore026: boolean): SchedulerConfig {
	const stepsBetweenTimesteps = sampler === "ddim" || sampler === "ddpm" || sampler === "pndm";
	const clips = sampler === "ddim" || sampler === "ddpm";
	const isSolver = sampler === "dpmsolver++2m" || sampler === "unipc";
	return {
		sampler,
		trainTimesteps: values.num_train_timesteps ?? values.trained_betas?.length ?? 1000,
		betaStart: values.beta_start ?? 0.0001,
		betaEnd: values.beta_end ?? 0.02,
		betaSchedule: values.beta_schedule ?? "linear",
		trainedBetas: values.trained_betas ?? null,
		predictionType: values.prediction_type ?? "epsilon",
		rescaleBetasZeroSnr: values.rescale_betas_zero_snr ?? false,
		timestepSpacing: values.timestep_spacing ?? (stepsBetweenTimesteps ? "leading" : "linspace"),
		stepsOffset: values.steps_offset ?? 0,
		setAlphaToOne: values.set_alpha_to_one ?? sampler !== "pndm",
		clipSample: clips && (values.clip_sample ?? true) ? (values.clip_sample_range ?? 1) : null,
		varianceType: values.variance_type ?? "fixed_small",
		useKarrasSigmas: values.use_karras_sigmas ?? false,
		finalSigmas: values.final_sigmas_type ?? (isSolver && isBefore026 ? "sigma_min" : "zero"),
		solverOrder: values.solver_order ?? 2,
		lowerOrderFinal: values.lower_order_final ?? true,
		eulerAtFinal: values.euler_at_final ?? false,
		disableCorrector: values.disable_corrector ?? [],
	};
}
