// How well distributions of prompts do what they are for, on a model of the world: learned from each reference set, sampled, scaled, mixed and edited, and read
// by the classifier against the exact distributions that the sets were drawn from.
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import {
	type Device,
	LEARN_PRESETS,
	type LearnSettingsInput,
	learn,
	PromptDistribution,
	type SampledSource,
	samplingOf,
	sweepMix,
	writePng,
} from "@dreamdist/core";
import {
	type Attribute,
	type AttributeValue,
	attributeDistribution,
	REFERENCE_SETS,
	referenceScenes,
	referenceSet,
	render,
	sampleSet,
} from "@dreamdist/world";
import { loadPipeline } from "../../pipeline/load-pipeline.js";
import type { Pipeline } from "../../pipeline/pipeline.js";
import { pictureAt } from "../grid.js";
import { weightsIdentity } from "../weights-identity.js";
import { Painter, type PaintOptions } from "./painter.js";
import { coverage, diversity, fixedMatch, leaning, shareWith, subjectStays, supportMatch } from "./set-figures.js";
import { WorkFolder } from "./work-folder.js";
import { type PictureReadings, WorldClassifier } from "./world-classifier.js";

export interface MeasureMethodOptions extends PaintOptions {
	readonly device: Device;
	/** Keeps what was learned and each part's result; the same measurement goes on from there. */
	readonly work: string;
	/** Names of reference sets. Default: all twelve. */
	readonly sets?: readonly string[] | undefined;
	/** Of each set and setting. Default 40. */
	readonly pictures?: number | undefined;
	/** Settings of learning. Default: the preset "mini". */
	readonly learning?: LearnSettingsInput | undefined;
	readonly onPart?: ((text: string) => void) | undefined;
}

/** Shares are of pictures, as the classifier reads them. */
export interface DistributionFigures {
	/** Attributes that the whole set shares, read right; null for a set that shares none. */
	readonly fixed: number | null;
	/** Attributes with a value that the set has at all. */
	readonly support: number;
	/** Values of varying attributes that came up. */
	readonly coverage: number;
	/** Mean distance of two pictures' features. */
	readonly diversity: number;
}

export interface SetMeasurements {
	readonly set: string;
	/** Of as many scenes that the set's distribution draws. */
	readonly real: DistributionFigures;
	/** By the scale of the spread, γ. */
	readonly scales: readonly { readonly gamma: number; readonly figures: DistributionFigures }[];
	/** One learned prompt at the same steps. */
	readonly single: DistributionFigures;
	/** Pictures after an edit with the named value, and those that kept a subject of the set's. */
	readonly edits: readonly { readonly edit: string; readonly changed: number; readonly kept: number }[];
}

export interface MixMeasurements {
	readonly first: string;
	readonly second: string;
	/** How far the pictures lean to the second, 0…1, by its weight. */
	readonly leaning: readonly { readonly weight: number; readonly value: number }[];
}

export interface MethodMeasurements {
	readonly pictures: number;
	readonly steps: number;
	readonly prompts: number;
	/** That pictures were painted with. */
	readonly guidance: number;
	readonly sets: readonly SetMeasurements[];
	/** Each set with the next. */
	readonly mixes: readonly MixMeasurements[];
}

interface Edit {
	readonly edit: string;
	readonly prefix?: string;
	readonly suffix?: string;
	readonly attribute: Attribute;
	readonly value: AttributeValue;
}

const EDITS: readonly Edit[] = [
	{ edit: "in chalk", prefix: "a chalk drawing of", attribute: "style", value: "chalk" },
	{ edit: "at sea", suffix: "by the sea", attribute: "background", value: "sea" },
];
const SCALES = [0, 1, 2] as const;
const WEIGHTS = [0, 0.25, 0.5, 0.75, 1] as const;
const SEED = 1;

/**
 * Measures the method on a model folder that full training has filled.
 *
 * @throws FileError or FormatError where a network is not there; RangeError for a set that does not exist
 */
export async function measureMethod(folder: string, options: MeasureMethodOptions): Promise<MethodMeasurements> {
	const { device, signal, pictures = 40, learning = LEARN_PRESETS.mini } = options;
	const sets = options.sets ?? REFERENCE_SETS.map(({ name }) => name);
	const classifier = await WorldClassifier.open(folder, device);
	const pipe = await loadPipeline(folder, { device, signal });
	const sampling = samplingOf(pipe, options, "learned");
	const parts = await WorkFolder.open(options.work, {
		model: await weightsIdentity(folder),
		pictures,
		learning,
		words: Object.fromEntries(REFERENCE_SETS.map(({ name, words }) => [name, words])),
		...sampling,
	});
	const measure = new Measure(pipe, classifier, parts, { ...options, ...sampling, pictures, learning });
	try {
		const measured: SetMeasurements[] = [];
		for (const set of sets) measured.push(await parts.part(`set-${set}`, () => measure.set(set)));
		const mixes: MixMeasurements[] = [];
		for (const [i, first] of sets.entries()) {
			const second = sets[(i + 1) % sets.length]!;
			if (second !== first) mixes.push(await parts.part(`mix-${first}-${second}`, () => measure.mix(first, second)));
		}
		const settings = (await measure.distribution(sets[0]!)).settings;
		return {
			pictures,
			steps: Number(settings.steps),
			prompts: Number(settings.prompts),
			guidance: sampling.guidance,
			sets: measured,
			mixes,
		};
	} finally {
		measure.dispose();
		pipe.dispose();
		classifier.dispose();
	}
}

class Measure {
	private painter: Painter | null = null;

	constructor(
		private readonly pipe: Pipeline,
		private readonly classifier: WorldClassifier,
		private readonly work: WorkFolder,
		private readonly options: MeasureMethodOptions & { pictures: number; learning: LearnSettingsInput },
	) {}

	private say(text: string): void {
		this.options.onPart?.(text);
	}

	/** What was learned from a set, now or before. */
	async distribution(set: string, prompts?: number): Promise<PromptDistribution> {
		const { learning, signal } = this.options;
		const name = prompts === undefined ? "run" : `run-${prompts}`;
		const home = join(this.work.folder, "sets", set);
		const references = join(home, "references");
		const scenes = referenceScenes(set);
		const bytes = await render(scenes);
		await mkdir(references, { recursive: true });
		const files: string[] = [];
		for (let i = 0; i < scenes.length; i++) {
			files.push(join(references, `${String(i + 1).padStart(2, "0")}.png`));
			await writePng(files[i]!, pictureAt(bytes, i));
		}
		const out = join(home, name);
		const path = await this.work.part(`${name}-${set}`, async () => {
			this.say(`learning ${set}${prompts === undefined ? "" : `, ${prompts} prompt`}`);
			// What an interrupted process left; learning takes a minute.
			await rm(out, { recursive: true, force: true });
			await learn(this.pipe, files, {
				...learning,
				initialWords: learning.initialWords ?? referenceSet(set).words,
				...(prompts !== undefined && { prompts }),
				out,
				keep: 1,
				...(signal && { signal }),
			}).result();
			return join("sets", set, name, "distribution.safetensors");
		});
		return PromptDistribution.load(join(this.work.folder, path));
	}

	private async read(source: SampledSource): Promise<PictureReadings> {
		this.painter ??= await Painter.create(this.pipe, this.options);
		return this.classifier.read(await this.painter.sampled(source, this.options.pictures, SEED));
	}

	async set(set: string): Promise<SetMeasurements> {
		const { pictures } = this.options;
		const learned = await this.distribution(set);
		this.say(`painting ${set}`);
		const scales: { gamma: number; figures: DistributionFigures }[] = [];
		for (const gamma of SCALES) scales.push({ gamma, figures: figures(set, await this.read(learned.scale(gamma))) });
		const edits: { edit: string; changed: number; kept: number }[] = [];
		for (const { edit, attribute, value, ...words } of EDITS) {
			// What the set has anyway is no change.
			if (attributeDistribution(set, attribute).has(value)) continue;
			const { attributes } = await this.read(learned.edit(words));
			edits.push({ edit, changed: shareWith(attributes, attribute, value), kept: subjectStays(set, attributes) });
		}
		const single = await this.distribution(set, 1);
		const real = await this.classifier.read(await render(sampleSet(set, pictures, HELD_OUT_SET_SEED)));
		return { set, real: figures(set, real), scales, single: figures(set, await this.read(single)), edits };
	}

	async mix(first: string, second: string): Promise<MixMeasurements> {
		const parts = [
			{ source: await this.distribution(first), weight: 1 },
			{ source: await this.distribution(second), weight: 0 },
		];
		this.say(`mixing ${first} with ${second}`);
		const values: { weight: number; value: number }[] = [];
		for (const [i, source] of sweepMix(parts, WEIGHTS).entries())
			values.push({ weight: WEIGHTS[i]!, value: leaning(first, second, (await this.read(source)).attributes) });
		return { first, second, leaning: values };
	}

	dispose(): void {
		this.painter?.dispose();
	}
}

/** References are drawn with seed 1. */
const HELD_OUT_SET_SEED = 2;

function figures(set: string, { attributes, features, featureWidth }: PictureReadings): DistributionFigures {
	return {
		fixed: fixedMatch(set, attributes),
		support: supportMatch(set, attributes),
		coverage: coverage(set, attributes),
		diversity: diversity(features, featureWidth),
	};
}
