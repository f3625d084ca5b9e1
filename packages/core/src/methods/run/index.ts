export { checkpointSteps, readCheckpoint, writeCheckpoint } from "./checkpoint.js";
export { lockRun, RunLockedError } from "./lock.js";
export { type MetricsLine, readMetrics } from "./metrics.js";
export { type RunPageContents, renderRunPage } from "./page.js";
export { RunFolder, RunFolderError, runPaths } from "./run-folder.js";
export { checkResumable, RunChangedError, type RunRecord, readRunRecord } from "./run-record.js";
export { templateWords, writeSampleGrid } from "./samples.js";
export { crc32c, EventFile } from "./tensorboard.js";
