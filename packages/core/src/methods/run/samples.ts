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

export interface SampleGridOptions {
	readonly size: readonly [width: number, height: number];
	/** Texts with "{}" where the learned prompt stands; each makes a row. The first row is the learned prompt as it is. */
	readonly prompts: readonly string[];
	readonly signal?: AbortSignal;
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
	distribution: PromptDistribution,
	options: SampleGridOptions,
): Promise<void> {
	const sources = [distribution, ...options.prompts.map((template) => distribution.edit(templateWords(template)))];
	const rows: ImageU8[][] = [];
	for (const source of sources) {
		const row: ImageU8[] = [];
		const pictures = generate(model, source, {
			size: options.size,
			count: COLUMNS,
			steps: STEPS,
			...(options.signal && { signal: options.signal }),
		});
		for await (const { image } of pictures) row.push(image);
		rows.push(row);
	}
	const { image } = await contactSheet(rows, { rowLabels: ["learned", ...options.prompts] });
	await writePng(path, image, { recipe: { distribution: distribution.settings, prompts: options.prompts } });
}
