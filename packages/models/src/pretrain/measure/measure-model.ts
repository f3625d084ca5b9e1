// How well a model paints the world: its pictures of held-out captions, read by the classifier.
import { type Device, generateSweep } from "@dreamdist/core";
import { ATTRIBUTES, type Attribute, PICTURE_BYTES, plainCaption, render, type Scene } from "@dreamdist/world";
import { loadPipeline } from "../../pipeline/load-pipeline.js";
import type { RecipeData } from "../recipe.js";
import { heldOut, sceneOf } from "../scenes.js";
import { frechetDistance } from "./frechet.js";
import { WorldClassifier } from "./world-classifier.js";

export interface MeasureModelOptions {
	readonly device: Device;
	/** Held-out captions, one picture each. Default 600. */
	readonly captions?: number;
	/** Default 4. */
	readonly guidance?: number;
	/** Sampling steps. Default 25. */
	readonly steps?: number;
	/** Pictures sampled at once. Default 24. */
	readonly batch?: number;
	readonly signal?: AbortSignal;
	readonly onPicture?: (done: number, total: number) => void;
}

/** Shares are of pictures whose attribute is read as the scene has it. */
export interface ModelMeasurements {
	readonly captions: number;
	/** On the scenes themselves: what the classifier can tell at all. */
	readonly real: Readonly<Record<Attribute, number>>;
	readonly generated: Readonly<Record<Attribute, number>>;
	/** Fréchet distances in the classifier's features: pictures to scenes, and other scenes to scenes, at the same count. */
	readonly frechet: { readonly generated: number; readonly real: number };
}

/** All scenes of the world, full captions. */
const DATA: RecipeData = { constraints: {}, plainCaptions: 1, captionDetail: null };

/**
 * Measures a model folder that full training has filled, with its classifier.
 *
 * @throws FileError or FormatError where a network is not there
 */
export async function measureModel(folder: string, options: MeasureModelOptions): Promise<ModelMeasurements> {
	const { device, captions: count = 600, guidance = 4, steps = 25, batch = 24, signal, onPicture } = options;
	const classifier = await WorldClassifier.open(folder, device);
	const pipe = await loadPipeline(folder, { device, signal });
	try {
		const scenes = Array.from({ length: count }, (_, i) => sceneOf(heldOut(count, DATA), i));
		const others = Array.from({ length: count }, (_, i) => sceneOf(heldOut(count, DATA, count), i));
		const real = await classifier.read(await render(scenes));
		const realAgain = await classifier.read(await render(others));

		const pictures = new Uint8Array(count * PICTURE_BYTES);
		let done = 0;
		const settings = { count: 1, batch: Math.min(batch, count), steps, guidance, ...(signal && { signal }) };
		for await (const { image, column } of generateSweep(pipe, scenes.map(plainCaption), settings)) {
			pictures.set(image.data, column * PICTURE_BYTES);
			onPicture?.(++done, count);
		}
		const generated = await classifier.read(pictures);
		const width = real.featureWidth;
		return {
			captions: count,
			real: sharesRight(scenes, real.attributes),
			generated: sharesRight(scenes, generated.attributes),
			frechet: {
				generated: frechetDistance(generated.features, real.features, width),
				real: frechetDistance(realAgain.features, real.features, width),
			},
		};
	} finally {
		pipe.dispose();
		classifier.dispose();
	}
}

function sharesRight(
	scenes: readonly Scene[],
	readings: readonly Readonly<Record<Attribute, unknown>>[],
): Record<Attribute, number> {
	return Object.fromEntries(
		ATTRIBUTES.map((attribute) => {
			const right = scenes.filter((scene, i) => readings[i]![attribute] === scene[attribute]).length;
			return [attribute, right / scenes.length];
		}),
	) as Record<Attribute, number>;
}
