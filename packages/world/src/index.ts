// @dreamdist/world: small pictures with exact attributes and captions, each a function of a seed.
export { BACKGROUND_NAMES, BACKGROUNDS, type Background, type BackgroundName } from "./backgrounds.js";
export { type CaptionOptions, caption, type Facts, facts, plainCaption } from "./captions.js";
export type { Choice, PartConstraint, Range } from "./constraints.js";
export { type Placement, placements, sceneToSvg } from "./drawing.js";
export { PALETTE_NAMES, PALETTES, type Palette, type PaletteName } from "./palettes.js";
export { RandomStream } from "./random.js";
export {
	ATTRIBUTE_VALUES,
	ATTRIBUTES,
	type Attribute,
	type AttributeValue,
	attributeDistribution,
	inSet,
	type Mode,
	REFERENCE_SETS,
	type ReferenceSet,
	referenceScenes,
	referenceSet,
	sampleSet,
} from "./reference-sets.js";
export { PICTURE_BYTES, PICTURE_SIDE, render } from "./render.js";
export { type Constraints, type Scene, sampleScene } from "./scene.js";
export { STYLE_NAMES, STYLES, type Style, type StyleName } from "./styles/index.js";
export { SUBJECT_NAMES, SUBJECTS, type SubjectName } from "./subjects/index.js";
export type { PartSpec, PartValue, Subject, Words } from "./subjects/subject.js";
