// How well a model paints the world: its pictures of held-out captions, read by the classifier; and how well its other networks do.
import { join } from "node:path";
import type { Device } from "@dreamdist/core";
import { ATTRIBUTES, type Attribute, plainCaption, render, type Scene } from "@dreamdist/world";
import { loadPipeline } from "../../pipeline/load-pipeline.js";
import { RECIPE_FILE } from "../model-folder.js";
import { type RecipeData, readRecipe } from "../recipe.js";
import { heldOut, sceneOf } from "../scenes.js";
import { weightsIdentity } from "../weights-identity.js";
import { frechetDistance } from "./frechet.js";
import { Painter, type PaintOptions } from "./painter.js";
import { measureEncoders } from "./saved-networks.js";
import { WorkFolder } from "./work-folder.js";
import { type AttributeReading, type PictureReadings, WorldClassifier } from "./world-classifier.js";

export interface MeasureModelOptions extends PaintOptions {
	readonly device: Device;
	/** Held-out captions, one picture each. Default 600. */
	readonly captions?: number | undefined;
	/** Keeps each part's result here; the same measurement goes on from there. */
	readonly work?: string | undefined;
	readonly onPicture?: ((done: number, total: number) => void) | undefined;
}

/** Shares are of pictures whose attribute is read as the scene has it. */
export interface ModelMeasurements {
	readonly captions: number;
	/** On the scenes themselves: what the classifier can tell at all. */
	readonly real: Readonly<Record<Attribute, number>>;
	readonly generated: Readonly<Record<Attribute, number>>;
	/** Fréchet distances in the classifier's features: pictures to scenes, and other scenes to scenes, at the same count. */
	readonly frechet: { readonly generated: number; readonly real: number };
	/** Of the autoencoder on held-out scenes, in dB. */
	readonly psnr: number;
	/** Share of held-out captions that say everything whose own picture is the nearest among `retrievalCaptions`. */
	readonly retrieval: number;
	readonly retrievalCaptions: number;
}

/** All scenes of the world, full captions. */
const DATA: RecipeData = { constraints: {}, plainCaptions: 1, captionDetail: null };
/** Pictures of a part. */
const PART = 48;
/** Of the noise that pictures start from. */
const SEED = 1;

interface Part {
	readonly attributes: AttributeReading[];
	readonly features: number[];
}

/**
 * Measures a model folder that full training has filled: its denoiser by its classifier, its autoencoder and its encoders.
 *
 * @throws FileError or FormatError where a network or the recipe is not there
 */
export async function measureModel(folder: string, options: MeasureModelOptions): Promise<ModelMeasurements> {
	const { device, captions: count = 600, guidance, steps, work, signal, onPicture } = options;
	const recipe = await readRecipe(join(folder, RECIPE_FILE));
	const parts =
		work === undefined
			? null
			: await WorkFolder.open(work, { model: await weightsIdentity(folder), count, guidance, steps });
	const part = <T>(name: string, make: () => Promise<T>) => (parts ? parts.part(name, make) : make());
	const classifier = await WorldClassifier.open(folder, device);
	try {
		const scenes = Array.from({ length: count }, (_, i) => sceneOf(heldOut(count, DATA), i));
		const others = Array.from({ length: count }, (_, i) => sceneOf(heldOut(count, DATA, count), i));
		const real = await classifier.read(await render(scenes));
		const realAgain = await classifier.read(await render(others));
		const encoders = await part("encoders", () => measureEncoders(folder, recipe, device, signal));

		const attributes: AttributeReading[] = [];
		const features: number[] = [];
		const pipe = await loadPipeline(folder, { device, signal });
		let painter: Painter | null = null;
		try {
			for (let from = 0; from < count; from += PART) {
				const texts = scenes.slice(from, from + PART).map(plainCaption);
				const read = await part(`pictures-${from}`, async () => {
					painter ??= await Painter.create(pipe, options);
					return asJson(await classifier.read(await painter.texts(texts, SEED, from)));
				});
				attributes.push(...read.attributes);
				features.push(...read.features);
				onPicture?.(attributes.length, count);
			}
		} finally {
			(painter as Painter | null)?.dispose();
			pipe.dispose();
		}
		const width = real.featureWidth;
		return {
			captions: count,
			real: sharesRight(scenes, real.attributes),
			generated: sharesRight(scenes, attributes),
			frechet: {
				generated: frechetDistance(features, real.features, width),
				real: frechetDistance(realAgain.features, real.features, width),
			},
			...encoders,
		};
	} finally {
		classifier.dispose();
	}
}

function asJson({ attributes, features }: PictureReadings): Part {
	return { attributes, features: [...features] };
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
