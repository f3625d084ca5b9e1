export { PromptDistribution, type PromptSource, type SampledSource } from "./distribution.js";
export {
	type DistributionContents,
	type LearnedWords,
	type ModelIdentity,
	readDistribution,
	writeDistribution,
} from "./distribution-file.js";
export {
	checkWeights,
	FeatureDistribution,
	MIX_RULES,
	type MixRule,
	mixFeatures,
	type PromptSampler,
	promptOmega,
} from "./feature-distribution.js";
export {
	declareFrames,
	type FrameValues,
	frameData,
	ORTHOGONAL_LOSSES,
	type OrthogonalLoss,
	orthogonalLoss,
	type PromptFeatures,
	promptEmbeddings,
	promptFeatures,
	sampleContexts,
} from "./features.js";
export { type FittedContents, FittedDistribution, loadDistribution } from "./fitted-distribution.js";
export {
	CLASS_POSITIONS,
	type ClassPosition,
	classWords,
	type FrameInputs,
	framePrompt,
	frameWords,
	type PromptFrame,
	type PromptIds,
	type PromptWords,
	packFrames,
	WORD_POSITIONS,
	type WordPositions,
} from "./frame.js";
export { type DistributionInspection, inspectDistribution, type NearWord, nearestWords, spreadOf } from "./inspect.js";
export {
	compileLearningStep,
	type LearningNetworks,
	type LearningOutputs,
	type LearningShape,
	writeLearningStep,
} from "./learning-program.js";
export { denoisingErrors, type SnrWeighting, TIMESTEP_SCALARS, timestepScalars } from "./loss.js";
export { type FittedPrompts, PromptEncoder, type PromptTokens } from "./prompt-encoder.js";
export { normals, type Purpose, randomKeys as methodKeys, shuffledOrder, uniform as uniformAt } from "./randomness.js";
export { sweepMix, sweepScale, sweptWeights } from "./sweep.js";
export { TokenSpaceSampler } from "./token-space.js";
export { TokenState, type TokenUpdateOptions } from "./token-update.js";
