export { type Affine, type AffineFilter, rotateImage, transformImage } from "./affine.js";
export {
	AUGMENTATIONS,
	AUTO_AUGMENT_V0,
	type AugmentationName,
	type AugmentationOptions,
	augmentationArgument,
	augmentImage,
	autoAugment,
} from "./auto-augment.js";
