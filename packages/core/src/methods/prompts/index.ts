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
} from "./frame.js";
export {
	compileLearningStep,
	type LearningNetworks,
	type LearningOutputs,
	type LearningShape,
	writeLearningStep,
} from "./learning-program.js";
export { denoisingErrors, type SnrWeighting, TIMESTEP_SCALARS, timestepScalars } from "./loss.js";
export { TokenState, type TokenUpdateOptions } from "./token-update.js";
