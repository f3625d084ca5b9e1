// A comparison whose pictures tell a test what they are: nothing but the pixels says whose a picture is.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { decodeImage, type ImageU8, writePng } from "@dreamdist/core";
import { cellFolder, plannedCells, writeComparison } from "../../src/compare/comparison-file.js";

export const METHODS = ["prompt-distribution", "textual-inversion", "dreambooth", "custom-diffusion"] as const;
export const SETS = ["lamps", "boats", "owls"] as const;

/** What a picture's pixels say: a method's number and picture, or -1 for a reference; and its set. */
export interface Mark {
	readonly method: number;
	readonly set: number;
	readonly picture: number;
}

/** A square whose left half says the method, the right half set and picture. */
export function marked({ method, set, picture }: Mark, side = 24): ImageU8 {
	const data = new Uint8Array(side * side * 3);
	for (let i = 0; i < side * side; i++)
		data.set(i % side < side / 2 ? [40 * (method + 1), 30, 200] : [40 * set, 5 * picture, 90], i * 3);
	return { width: side, height: side, channels: 3, data };
}

/** Reads a served picture. */
export async function markOf(png: Uint8Array): Promise<Mark> {
	const { data, width } = await decodeImage(png, "a served picture");
	const right = (width - 1) * 3;
	return { method: data[0]! / 40 - 1, set: data[right]! / 40, picture: data[right + 1]! / 5 };
}

export interface ComparisonShape {
	readonly sets?: readonly string[];
	readonly methods?: readonly string[];
	readonly seeds?: readonly number[];
	/** Pictures of a cell, by the method's number. */
	readonly pictures?: (method: number) => number;
	readonly side?: (method: number) => number;
	/** Folders of cells that are not done. */
	readonly planned?: readonly string[];
	readonly references?: number;
}

export async function writeTestComparison(folder: string, shape: ComparisonShape = {}): Promise<void> {
	const { sets = SETS, methods = METHODS, seeds = [0], pictures = () => 6, side = () => 24, planned = [] } = shape;
	const references = Array.from({ length: shape.references ?? 3 }, (_, i) => `${i}.png`);
	for (const [set, name] of sets.entries()) {
		await mkdir(join(folder, "references", name), { recursive: true });
		for (const [picture, file] of references.entries())
			await writePng(join(folder, "references", name, file), marked({ method: -1, set, picture }));
		for (const seed of seeds) {
			for (const [method, methodName] of methods.entries()) {
				const cell = join(folder, cellFolder(name, methodName, seed), "pictures");
				await mkdir(cell, { recursive: true });
				for (let picture = 0; picture < pictures(method); picture++) {
					const image = marked({ method, set, picture }, side(method));
					const recipe = { method: methodName, set: name };
					await writePng(join(cell, `${String(picture).padStart(4, "0")}.png`), image, { recipe });
				}
			}
		}
	}
	const cells = plannedCells(
		sets.map((name) => ({ name })),
		methods.map((name) => ({ name })),
		seeds,
	);
	const toSet = (name: string) => ({
		name,
		references: references.map((file) => `references/${name}/${file}`) as [string, ...string[]],
	});
	await writeComparison(folder, {
		format: "dreamdist.comparison",
		version: 1,
		model: "test",
		settings: {},
		sets: sets.map(toSet) as [ReturnType<typeof toSet>, ...ReturnType<typeof toSet>[]],
		methods: methods.map((name) => ({ name, label: `The method ${name} <b>` })) as [
			{ name: string; label: string },
			...{ name: string; label: string }[],
		],
		seeds: seeds as [number, ...number[]],
		cells: cells.map((cell) => ({ ...cell, state: planned.includes(cell.folder) ? "planned" : "done" })),
	});
}
