export { frechetDistance } from "./measure/frechet.js";
export { type MeasureModelOptions, type ModelMeasurements, measureModel } from "./measure/measure-model.js";
export { type AttributeReading, type PictureReadings, WorldClassifier } from "./measure/world-classifier.js";
export {
	type PretrainOptions,
	type PretrainPlan,
	type PretrainStep,
	pretrain,
	pretrainLearningRate,
} from "./pretrain.js";
export { parseRecipe, type Recipe, readRecipe, STAGES, type StageName, type TrainingSettings } from "./recipe.js";
export { PretrainFolderError } from "./run-files.js";
