// Pictures, captions and attributes of scenes, drawn when a step needs them.
import { ArgumentError } from "@dreamdist/core";
import {
	ATTRIBUTE_VALUES,
	ATTRIBUTES,
	type Attribute,
	type Constraints,
	caption,
	plainCaption,
	render,
	type Scene,
	sampleScene,
} from "@dreamdist/world";
import type { RecipeData } from "./recipe.js";

/** Which scenes to draw. */
export interface SceneRequest {
	/** Seed of the first scene; the others follow it. */
	readonly first: number;
	readonly count: number;
	readonly data: RecipeData;
}

export interface SceneBatch {
	/** RGB bytes, [count, 64, 64, 3]. */
	readonly pictures: Uint8Array;
	readonly captions: string[];
	/** Index of each scene's value among `ATTRIBUTE_VALUES`. */
	readonly attributes: Record<Attribute, Int32Array>;
}

/** Seeds from here on are for measuring and never trained on. */
const HELD_OUT = 2 ** 52;
/** Scenes that a stage of a recipe may draw. */
const STAGE_SEEDS = 2 ** 28;

/** Seed of the first scene of a training step. */
export function trainingSeed(recipeSeed: number, stage: number, step: number, batch: number): number {
	const at = (step - 1) * batch;
	if (at + batch > STAGE_SEEDS)
		throw new ArgumentError(`a stage may draw ${STAGE_SEEDS} scenes; step ${step} of ${batch} goes beyond them`);
	return (recipeSeed * 4 + stage) * STAGE_SEEDS + at;
}

/** A request for scenes that no training has seen. */
export function heldOut(count: number, data: RecipeData, from = 0): SceneRequest {
	return { first: HELD_OUT + from, count, data };
}

export function sceneOf({ first, data }: SceneRequest, index: number): Scene {
	return sampleScene(first + index, data.constraints as Constraints);
}

/** The same request gives the same batch, wherever it is drawn. */
export async function drawScenes(request: SceneRequest): Promise<SceneBatch> {
	const { count, data } = request;
	const scenes = Array.from({ length: count }, (_, i) => sceneOf(request, i));
	const attributes = Object.fromEntries(
		ATTRIBUTES.map((attribute) => {
			const values: readonly unknown[] = ATTRIBUTE_VALUES[attribute];
			return [attribute, Int32Array.from(scenes, (scene) => values.indexOf(scene[attribute]))];
		}),
	) as Record<Attribute, Int32Array>;
	return { pictures: await render(scenes), captions: scenes.map((scene) => captionOf(scene, data)), attributes };
}

/** Plain or drawn, by the scene's own seed. */
export function captionOf(scene: Scene, { plainCaptions, captionDetail }: RecipeData): string {
	// A golden-ratio sequence spreads the plain ones evenly; large seeds would leave its fractions no digits.
	if (((Math.abs(scene.seed) % 2 ** 20) * 0.6180339887498949) % 1 < plainCaptions) return plainCaption(scene);
	return caption(scene, 0, captionDetail === null ? {} : { detail: captionDetail });
}

/** Bytes as the networks take them, in [−1, 1]. */
export function toNetworkRange(pictures: Uint8Array): Float32Array {
	const out = new Float32Array(pictures.length);
	for (let i = 0; i < out.length; i++) out[i] = pictures[i]! / 127.5 - 1;
	return out;
}
