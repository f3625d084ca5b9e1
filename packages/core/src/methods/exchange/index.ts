export {
	type Conditioning,
	EMBEDDING_LAYOUTS,
	type EmbeddingLayout,
	type EmbeddingOptions,
	writeConditioning,
	writeEmbedding,
	writeOfficialNpz,
} from "./export-distribution.js";
export { type Imported, type ImportedForm, type ImportOptions, importDistribution } from "./import-distribution.js";
