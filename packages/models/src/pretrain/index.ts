export { frechetDistance } from "./measure/frechet.js";
export {
	type DistributionFigures,
	type MeasureMethodOptions,
	type MethodMeasurements,
	type MixMeasurements,
	measureMethod,
	type SetMeasurements,
} from "./measure/measure-method.js";
export { type MeasureModelOptions, type ModelMeasurements, measureModel } from "./measure/measure-model.js";
export { methodTables, modelTable } from "./measure/tables.js";
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
