// Measuring on scenes that no training has seen.
import type { Device, Graph, InputData, Program, Value } from "@dreamdist/core";
import type { RecipeData } from "./recipe.js";
import { drawScenes, heldOut, type SceneBatch } from "./scenes.js";

/** Scenes measured at once. */
export const EVALUATION_BATCH = 32;

/** Held-out scenes in batches of one size; of the last one, `used` scenes count. */
export async function* heldOutBatches(
	data: RecipeData,
	total: number,
	batch = EVALUATION_BATCH,
): AsyncGenerator<{ scenes: SceneBatch; first: number; used: number }, void, undefined> {
	for (let first = 0; first < total; first += batch)
		yield { scenes: await drawScenes(heldOut(batch, data, first)), first, used: Math.min(batch, total - first) };
}

/** A program compiled at its first run. */
export class LazyProgram<K extends string> implements Disposable {
	private program: Promise<Program<K>> | null = null;

	constructor(
		private readonly device: Device,
		private readonly name: string,
		private readonly build: (graph: Graph) => Record<K, Value>,
	) {}

	async run(inputs: Readonly<Record<string, InputData>>): Promise<Record<K, Float32Array>> {
		this.program ??= this.device.compile(this.build, { name: this.name });
		return (await (await this.program).run(inputs)) as Record<K, Float32Array>;
	}

	dispose(): void {
		this.program?.then(
			(program) => program.dispose(),
			() => undefined,
		);
	}

	[Symbol.dispose](): void {
		this.dispose();
	}
}

export function indexOfLargest(values: ArrayLike<number>, from: number, count: number): number {
	let best = 0;
	for (let i = 1; i < count; i++) if (values[from + i]! > values[from + best]!) best = i;
	return best;
}
