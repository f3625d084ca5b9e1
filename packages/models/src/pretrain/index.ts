export {
	type PretrainOptions,
	type PretrainPlan,
	type PretrainStep,
	pretrain,
	pretrainLearningRate,
} from "./pretrain.js";
export { parseRecipe, type Recipe, readRecipe, STAGES, type StageName, type TrainingSettings } from "./recipe.js";
export { PretrainFolderError } from "./run-files.js";
