export {
	type Augmentation,
	type AugmentationOptions,
	augment,
	augmentations,
	coverSize,
	zoomedArea,
} from "./augmentation.js";
export { type FindPicturesOptions, type FoundPicture, findPictures } from "./find-pictures.js";
export { MomentCache, type PictureReport, PictureSet, type SetPicture } from "./picture-set.js";
