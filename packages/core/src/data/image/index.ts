export { type ContactSheet, type ContactSheetOptions, contactSheet, type Rectangle } from "./contact-sheet.js";
export { f32ToImages, imagesToF32 } from "./convert.js";
export { type DecodeOptions, decodeImage, readImage } from "./decode.js";
export { centerCrop, cropImage, resizeShorterSide } from "./framing.js";
export { createImage, type ImageU8, MAX_IMAGE_PIXELS, pasteImage } from "./image.js";
export { encodePng, type PngOptions, RECIPE_KEYWORD, readPngRecipe, readPngText, writePng } from "./png.js";
export { insertPngText, parsePngText } from "./png-text.js";
export { RESIZE_FILTERS, type ResizeFilter } from "./resample.js";
export { type ImageF32, resizeF32, resizeImage } from "./resize.js";
