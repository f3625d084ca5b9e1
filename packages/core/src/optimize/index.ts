// Optimisers and what goes with them.
export { type AdamWSettings, adamwHyper, adamwOp, HYPER, type SgdSettings } from "../ops/optimizer.js";
export {
	adamw,
	type OptimizedParameter,
	Optimizer,
	type OptimizerOptions,
	sgd,
	type UpdateOptions,
} from "./optimizer.js";
export { clipByGlobalNorm, ema, lossScale, scaledGradients } from "./training.js";
