// Methods that personalise a frozen model.

export * from "./exchange/index.js";
export {
	defaultSize,
	fitSource,
	type GeneratedPicture,
	type GenerateOptions,
	generate,
	generateSweep,
	promptKind,
	type SweptPicture,
} from "./generate.js";
export { Learning, type LearnOptions, type LearnPlan, type LearnResult, learn } from "./learn.js";
export {
	LEARN_PRESETS,
	LEARNING_RATE_SCHEDULES,
	type LearnSettings,
	type LearnSettingsInput,
	learningRateAt,
	learnSettingsSchema,
	nearest,
	type ParsedLearnSettings,
	readLearnSettings,
} from "./learn-settings.js";
export { DivergenceError, Learner, type LearnerState, type LearnStep, wordEmbeddings } from "./learner.js";
export {
	checkSize,
	type PictureRequest,
	PictureSampler,
	type PictureSamplerOptions,
	samplingOf,
} from "./picture-sampler.js";
export * from "./pictures/index.js";
export type { FrozenModel, SamplingDefaults } from "./pipeline.js";
export * from "./prompts/index.js";
export * from "./run/index.js";
export { checkTimesteps, drawTimestep, type TimestepRange } from "./timesteps.js";
