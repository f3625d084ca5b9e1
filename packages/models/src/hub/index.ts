export { resolveCached } from "./cache.js";
export { HubError, type HubErrorCode } from "./errors.js";
export type { RetryOptions } from "./http.js";
export { communityMirror, type ModelId, parseModelId } from "./model-id.js";
export { type PullEvent, type PullOptions, pull } from "./pull.js";
export { selectFiles, type WeightVariant } from "./select-files.js";
export { cacheFolder, type HubOptions } from "./settings.js";
