export { applyStep, modelInput, type SamplerState, startSampling } from "./apply-step.js";
export { BETA_SCHEDULES, type BetaSchedule } from "./betas.js";
export { applyGuidance, type GuidanceOptions } from "./guidance.js";
export { type Autoencoder, type Denoiser, RECOMPUTE_LEVELS, type Recompute, type TextEncoder } from "./interfaces.js";
export {
	createNoiseSchedule,
	type LossWeighting,
	mixNoise,
	type NoiseMix,
	type NoiseSchedule,
	type NoiseScheduleOptions,
	PREDICTION_TYPES,
	type PredictionType,
} from "./noise-schedule.js";
export { planSampling, type SamplingOptions } from "./sampler.js";
export {
	coefficientTable,
	type Estimate,
	HISTORY_SLOTS,
	OPERANDS,
	type SamplingPlan,
	STEP_COEFFICIENTS,
	type StepPlan,
	UNLIMITED,
} from "./sampling-plan.js";
export { type DeviceSamplerState, type SamplingStepOptions, samplingStep } from "./sampling-step.js";
export {
	parseSchedulerJson,
	type ReadSchedulerOptions,
	readSchedulerConfig,
	SAMPLER_NAMES,
	type SchedulerConfig,
	type SchedulerOverrides,
} from "./scheduler-config.js";
export { SAMPLER_CLASSES, type SamplerName } from "./scheduler-keys.js";
export { TIMESTEP_SPACINGS, type TimestepSpacing } from "./spacing.js";
export { decodeTiled, largestTile, tileStarts } from "./tiled-decode.js";
export type { EncodedText, Tokenizer } from "./tokenizer.js";
