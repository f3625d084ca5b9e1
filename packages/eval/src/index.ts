// @dreamdist/eval: metrics of generated pictures, evaluation and its reports, comparisons of methods, human studies.
export { type CellMetrics, type CellProgress, runCell } from "./compare/cell.js";
export { type CompareEvent, type CompareOptions, compare } from "./compare/compare.js";
export {
	COMPARISON_FILE,
	type ComparisonCell,
	type ComparisonFile,
	cellFolder,
	comparisonSchema,
	plannedCells,
	readComparison,
	writeComparison,
} from "./compare/comparison-file.js";
export {
	COMPARED_METHODS,
	type ComparedMethod,
	type ComparePlan,
	type CompareSettings,
	PAPER_METHODS,
	SETTINGS_TABLES,
	type SetTexts,
	type SetToCompare,
	setTextsSchema,
} from "./compare/plan.js";
export { REPORT_FILES, writeComparisonReport } from "./compare/report.js";
export {
	type ComparisonTable,
	comparisonTable,
	leadSentences,
	readCellMetrics,
	tableMarkdown,
} from "./compare/table.js";
export {
	byReason,
	type EvaluatedSet,
	type EvaluateEvent,
	type EvaluateOptions,
	type Evaluation,
	type EvaluationWithPictures,
	evaluate,
	type PictureFiles,
} from "./evaluate/evaluate.js";
export type { Measured } from "./evaluate/measures.js";
export {
	METRIC_NAMES,
	METRICS,
	type MetricName,
	type MetricRow,
	metricRow,
	type Space,
} from "./evaluate/metric-table.js";
export { FeatureCache, featureCacheFolder } from "./features/feature-cache.js";
export { type FeatureSet, featureSet } from "./features/feature-set.js";
export { type EncoderParts, PictureEncoder } from "./features/picture-encoder.js";
export { openClip, openDino, openDinov2, openInception } from "./features/public-encoders.js";
export { type FrechetDistance, frechetDistance } from "./metrics/frechet.js";
export {
	gaussianDistance,
	kernelDistance,
	kernelDistanceOfSubsets,
	type SubsetDistances,
} from "./metrics/kernel-distances.js";
export {
	type ManifoldReadings,
	type ManifoldScores,
	manifoldReadings,
	manifoldScores,
	neighboursFor,
} from "./metrics/manifold.js";
export { type Likeness, likeness, selfLikeness, vendiScore } from "./metrics/similarity.js";
export { writeEvaluationPage } from "./report/evaluation-page.js";
export { bootstrapInterval, type Interval, meanInterval } from "./statistics/bootstrap.js";
export { SeededRandom } from "./statistics/random.js";
export type { AnalyseOptions, MethodResult, QuestionResult, StudyReport } from "./study/analyse.js";
export { type CreatedStudy, type CreateStudyOptions, createStudy } from "./study/create.js";
export { reportStudy, type StudyReportWithVotes, writeStudyReport } from "./study/report.js";
export { studyMarkdown } from "./study/report-text.js";
export { type ServeStudyOptions, type StudyServer, serveStudy } from "./study/serve.js";
export type { Question, Study, StudyKey } from "./study/study-file.js";
export type { AnnotatorSummary, Vote } from "./study/votes.js";
export { METRIC_CASE_KINDS } from "./verify/metrics-case.js";
