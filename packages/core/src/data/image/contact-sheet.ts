import { ArgumentError } from "../../errors.js";
import { checkImage, createImage, type ImageU8, pasteImage } from "./image.js";
import { drawLabel, type Label } from "./label.js";
import { resizeImage } from "./resize.js";

type Colour = readonly [red: number, green: number, blue: number];

/** How a contact sheet looks. Sizes are in pixels. */
export interface ContactSheetOptions {
	/** One label above each column. */
	columnLabels?: readonly string[];
	/** One label left of each row. */
	rowLabels?: readonly string[];
	/**
	 * Room for one picture. A larger picture is reduced to fit, its proportions kept; a smaller one keeps its size and is
	 * centred. As large as the largest picture unless told otherwise.
	 */
	cellWidth?: number;
	cellHeight?: number;
	/** Room around and between cells and labels; 8 unless told otherwise. */
	gap?: number;
	/** 14 unless told otherwise. */
	fontSize?: number;
	/** White unless told otherwise. */
	background?: Colour;
	/** The colour of the labels; black unless told otherwise. */
	foreground?: Colour;
}

/** A rectangle of a sheet. */
export interface Rectangle {
	readonly left: number;
	readonly top: number;
	readonly width: number;
	readonly height: number;
}

/** A contact sheet and where everything in it lies; no two of the rectangles overlap. */
export interface ContactSheet {
	readonly image: ImageU8;
	/** Where each picture is, by row and column; undefined where there is none. */
	readonly pictures: readonly (readonly (Rectangle | undefined)[])[];
	/** What each label covers; 0×0 where it is blank. */
	readonly columnLabels: readonly Rectangle[];
	readonly rowLabels: readonly Rectangle[];
}

const MAX_SIDE = 65536;

/** Column labels take at most this many lines, row labels at most the height of their row. */
const COLUMN_LABEL_LINES = 4;
/** Height of a line in font sizes, generously. */
const LINE = 1.5;

/**
 * Lays pictures out in a grid, with labels for rows and columns. Long labels are broken into lines and, where even that
 * does not fit, end in "…".
 *
 * @param rows the pictures; rows may differ in length, and undefined leaves a place empty
 */
export async function contactSheet(
	rows: readonly (readonly (ImageU8 | undefined)[])[],
	options: ContactSheetOptions = {},
): Promise<ContactSheet> {
	const { gap = 8, fontSize = 14, background = [255, 255, 255], foreground = [0, 0, 0] } = options;
	const images = rows.flat().filter((image) => image !== undefined);
	if (images.length === 0) throw new ArgumentError("a contact sheet needs at least one picture");
	images.forEach(checkImage);
	const columns = Math.max(...rows.map((row) => row.length));
	checkCount("column", options.columnLabels, columns);
	checkCount("row", options.rowLabels, rows.length);
	const cellWidth = options.cellWidth ?? Math.max(...images.map((image) => image.width));
	const cellHeight = options.cellHeight ?? Math.max(...images.map((image) => image.height));
	checkWhole("cellWidth", cellWidth, 1, MAX_SIDE);
	checkWhole("cellHeight", cellHeight, 1, MAX_SIDE);
	checkWhole("gap", gap, 0, MAX_SIDE);
	checkWhole("fontSize", fontSize, 1, 256);

	const line = Math.ceil(fontSize * LINE);
	const columnLabels = await drawAll(options.columnLabels, {
		maxWidth: cellWidth,
		maxHeight: COLUMN_LABEL_LINES * line,
		fontSize,
	});
	const rowLabels = await drawAll(options.rowLabels, {
		maxWidth: Math.max(cellWidth, 8 * fontSize),
		maxHeight: Math.max(cellHeight, line),
		fontSize,
	});
	const band = (size: number) => (size === 0 ? 0 : size + gap);
	const gridLeft = gap + band(Math.max(0, ...rowLabels.map((label) => label.width)));
	const gridTop = gap + band(Math.max(0, ...columnLabels.map((label) => label.height)));
	const pitch = Math.max(cellHeight, ...rowLabels.map((label) => label.height)) + gap;
	const image = createImage(gridLeft + columns * (cellWidth + gap), gridTop + rows.length * pitch, background);

	return {
		image,
		pictures: rows.map((row, r) =>
			row.map((picture, c) => {
				if (picture === undefined) return undefined;
				const fitted = fit(picture, cellWidth, cellHeight);
				const left = gridLeft + c * (cellWidth + gap) + ((cellWidth - fitted.width) >> 1);
				const top = gridTop + r * pitch + ((pitch - gap - fitted.height) >> 1);
				pasteImage(image, fitted, left, top);
				return { left, top, width: fitted.width, height: fitted.height };
			}),
		),
		columnLabels: columnLabels.map((label, c) => {
			const left = gridLeft + c * (cellWidth + gap) + ((cellWidth - label.width) >> 1);
			// Beside its pictures, not at the top of a band that a longer label made high.
			return paintLabel(image, label, left, gridTop - gap - label.height, background, foreground);
		}),
		rowLabels: rowLabels.map((label, r) => {
			const top = gridTop + r * pitch + ((pitch - gap - label.height) >> 1);
			return paintLabel(image, label, gridLeft - gap - label.width, top, background, foreground);
		}),
	};
}

async function drawAll(
	texts: readonly string[] | undefined,
	options: { maxWidth: number; maxHeight: number; fontSize: number },
): Promise<Label[]> {
	const labels: Label[] = [];
	for (const text of texts ?? []) labels.push(await drawLabel(text, options));
	return labels;
}

function fit(image: ImageU8, width: number, height: number): ImageU8 {
	const scale = Math.min(width / image.width, height / image.height);
	if (scale >= 1) return image;
	const side = (length: number, limit: number) => Math.min(limit, Math.max(1, Math.round(length * scale)));
	return resizeImage(image, side(image.width, width), side(image.height, height), "lanczos");
}

function paintLabel(
	sheet: ImageU8,
	label: Label,
	left: number,
	top: number,
	background: Colour,
	foreground: Colour,
): Rectangle {
	for (let y = 0; y < label.height; y++) {
		for (let x = 0; x < label.width; x++) {
			const ink = label.ink[y * label.width + x]! / 255;
			const at = ((top + y) * sheet.width + left + x) * 3;
			for (let c = 0; c < 3; c++) {
				sheet.data[at + c] = Math.round(background[c]! + (foreground[c]! - background[c]!) * ink);
			}
		}
	}
	return { left, top, width: label.width, height: label.height };
}

function checkCount(kind: string, labels: readonly string[] | undefined, count: number): void {
	if (labels !== undefined && labels.length !== count) {
		throw new ArgumentError(`a contact sheet of ${count} ${kind}s needs as many ${kind} labels, not ${labels.length}`);
	}
}

function checkWhole(name: string, value: number, least: number, most: number): void {
	if (Number.isInteger(value) && value >= least && value <= most) return;
	throw new ArgumentError(`${name} of a contact sheet must be a whole number from ${least} to ${most}, not ${value}`);
}
