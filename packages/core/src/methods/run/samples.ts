// Pictures of what has been learned so far: a labelled grid at fixed seeds.
import { contactSheet } from "../../data/image/contact-sheet.js";
import type { ImageU8 } from "../../data/image/image.js";
import { writePng } from "../../data/image/png.js";
import { ArgumentError } from "../../errors.js";
import { generate } from "../generate.js";
import type { FrozenModel } from "../pipeline.js";
import type { PromptDistribution } from "../prompts/distribution.js";

/** Pictures in each row of the grid. */
const COLUMNS = 4;
/** Enough to see where learning goes. */
const STEPS = 20;

export interface SampleRow {
	readonly label: string;
	readonly source: PromptDistribution | string;
}

export interface SampleGridOptions {
	readonly size: readonly [width: number, height: number];
	/** Written into the picture's metadata. */
	readonly recipe: object;
	readonly signal?: AbortSignal | undefined;
}

/** A template's words. @throws ArgumentError unless "{}" stands in it once */
export function templateWords(template: string): { prefix: string; suffix: string } {
	const parts = template.split("{}");
	if (parts.length !== 2)
		throw new ArgumentError(`the prompt "${template}" must have {} once, where the learned prompt stands`);
	return { prefix: parts[0]!.trim(), suffix: parts[1]!.trim() };
}

/** Writes the grid as a PNG. Seeds are fixed, so that grids of different steps show the same pictures change. */
export async function writeSampleGrid(
	path: string,
	model: FrozenModel,
	rows: readonly SampleRow[],
	{ size, recipe, signal }: SampleGridOptions,
): Promise<void> {
	const grid: ImageU8[][] = [];
	for (const { source } of rows) {
		const row: ImageU8[] = [];
		const pictures = generate(model, source, { size, count: COLUMNS, steps: STEPS, ...(signal && { signal }) });
		for await (const { image } of pictures) row.push(image);
		grid.push(row);
	}
	const { image } = await contactSheet(grid, { rowLabels: rows.map(({ label }) => label) });
	await writePng(path, image, { recipe });
}
