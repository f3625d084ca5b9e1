// Optimisers and what goes with them.
export type { AdamWSettings, SgdSettings } from "../ops/optimizer.js";
export {
	adamw,
	type OptimizedParameter,
	Optimizer,
	type OptimizerOptions,
	sgd,
	type UpdateOptions,
} from "./optimizer.js";
export { clipByGlobalNorm, ema } from "./training.js";
