export { f32ToImages, imagesToF32 } from "./convert.js";
export { centerCrop, cropImage, resizeShorterSide } from "./framing.js";
export { createImage, type ImageU8, MAX_IMAGE_PIXELS, pasteImage } from "./image.js";
export { RESIZE_FILTERS, type ResizeFilter } from "./resample.js";
export { type ImageF32, resizeF32, resizeImage } from "./resize.js";
