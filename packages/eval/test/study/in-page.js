// What tests run inside the page. Checked with the page's own files, since it knows a document.

/** @param {HTMLImageElement} picture */
const asMark = async (picture) => {
	await picture.decode();
	const canvas = document.createElement("canvas");
	canvas.width = picture.naturalWidth;
	canvas.height = picture.naturalHeight;
	const drawing = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
	drawing.drawImage(picture, 0, 0);
	/** @param {number} x */
	const red = (x) => drawing.getImageData(x, 0, 1, 1).data[0] ?? 0;
	return { method: red(0) / 40 - 1, set: red(canvas.width - 1) / 40 };
};

/**
 * A script that tells where the grid stands whose pictures are of a method; on an attention item, the one whose pictures are of the
 * references' set.
 *
 * @param {number} method
 */
export const placeOf = (method) => `(async () => {
	const asMark = ${asMark};
	const strip = await asMark(document.querySelector("#strip img"));
	const grids = [...document.querySelectorAll(".grid .pictures")];
	const marks = await Promise.all(grids.map((grid) => asMark(grid.querySelector("img"))));
	const own = marks.findIndex((mark) => mark.method === -1 && mark.set === strip.set);
	return own >= 0 ? own : marks.findIndex((mark) => mark.method === ${method});
})()`;

/** What is chosen, by the questions' order. */
export const CHOSEN = "[...document.querySelectorAll('input:checked')].map((input) => input.value)";

export const PAGE_WIDTH = "document.documentElement.scrollWidth";

/** How many of the things to touch are lower than a finger needs. */
export const LOW_TARGETS =
	"[...document.querySelectorAll('#questions button, .options label')].filter((each) => each.getBoundingClientRect().height < 36).length";
