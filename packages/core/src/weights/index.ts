export { accountForWeights, countParameters, declaredWeights, type TraceModel } from "./account.js";
export { Checkpoint, type OpenCheckpointOptions } from "./checkpoint.js";
export { type WeightPart, type Weights, WeightsError } from "./door.js";
export { fingerprintWeights } from "./fingerprint.js";
export { trainableWeights, type WrappedWeight, wrapWeights } from "./trainable.js";
export { WeightSet } from "./weight-set.js";
