export { writeCaptionRun } from "./caption.js";
export { ExtendedTokenizer } from "./extended-tokenizer.js";
export { type FinetuneOptions, type FinetunePlan, type FinetuneResult, Finetuning, finetune } from "./finetune.js";
export type { FinetuneStep } from "./finetuner.js";
export { type PriorPicturesOptions, priorPictures } from "./prior-pictures.js";
export {
	CAPTION_METHODS,
	type CaptionMethod,
	type CaptionSettings,
	type CustomDiffusionSettings,
	type DreamboothLoraSettings,
	type DreamboothSettings,
	FINETUNE_METHODS,
	type FinetuneMethod,
	type FinetuneSettings,
	type FinetuneSettingsByMethod,
	METHOD_LABELS,
	METHOD_SETTINGS,
	readMethodSettings,
	type TextualInversionSettings,
} from "./settings.js";
export { findTuned, openTuned, type TunedModel, type TunedSource } from "./tuned.js";
