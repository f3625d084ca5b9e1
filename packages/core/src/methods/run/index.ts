export {
	badCheckpoint,
	checkpointSteps,
	openTensorCheckpoint,
	readCheckpoint,
	writeCheckpoint,
	writeTensorCheckpoint,
} from "./checkpoint.js";
export { lockRun, RunLockedError } from "./lock.js";
export { type MetricsLine, readMetrics, type StepMetrics } from "./metrics.js";
export { type MethodPageContents, type RunPageContents, renderMethodPage, renderRunPage } from "./page.js";
export { givenReporting, type Reporting, type ReportingOptions } from "./reporting.js";
export { type OpenRunOptions, RunFolder, RunFolderError, runPaths } from "./run-folder.js";
export { LEARNING_METHOD, LEARNING_RUN, type RunKind } from "./run-kind.js";
export { inFolder, type RunWork, takeSteps } from "./run-life.js";
export {
	checkResumable,
	methodOf,
	newRunRecord,
	RunChangedError,
	type RunRecord,
	readAnyRunRecord,
	readRunRecord,
	readRunRecordOf,
} from "./run-record.js";
export { type SampleGridOptions, type SampleRow, templateWords, writeSampleGrid } from "./samples.js";
export { crc32c, EventFile } from "./tensorboard.js";
