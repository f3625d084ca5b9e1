export { type Measure, measuredOnDevice } from "./measure.js";
export { type TunableCall, type TuneOptions, type TuneResult, tunableCalls, tune } from "./tune.js";
export { type CallShape, type ChoiceName, type TunedCall, Tuning, TuningError, tuningFolder } from "./tuning.js";
