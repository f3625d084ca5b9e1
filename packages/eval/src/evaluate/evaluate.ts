// Evaluates sets of generated pictures against real ones.
import { ArgumentError, type Device, type ImageU8, readImage, readPngRecipe } from "@dreamdist/core";
import { type FidPreprocessing, findEncoder, HubError } from "@dreamdist/models";
import { FeatureCache } from "../features/feature-cache.js";
import { type FeatureSet, featureSet, normalizedRows } from "../features/feature-set.js";
import { lpipsPairs } from "../features/lpips-pairs.js";
import { type Likeness, likeness } from "../metrics/similarity.js";
import { SeededRandom } from "../statistics/random.js";
import {
	type Measured,
	measureCmmd,
	measureFrechet,
	measureKid,
	measureLikeness,
	measureManifold,
	measureMean,
	measureMemorisation,
	measurePairs,
	measureVendi,
	readManifold,
} from "./measures.js";
import { METRIC_NAMES, type MetricName, metricRow, type Space } from "./metric-table.js";
import { sampleNotes, tooFewPictures } from "./sample-notes.js";
import { embedPrompts, openSpace, type SpaceOptions } from "./spaces.js";

/** Picture files under a name. */
export interface PictureFiles {
	readonly name: string;
	readonly files: readonly string[];
}

export type EvaluateEvent =
	/** Features of a set in a space are being made. */
	| { kind: "features"; encoder: string; set: string; done: number; total: number }
	/** A metric could not be measured, in a sentence. */
	| { kind: "unavailable"; metric: MetricName; reason: string };

export interface EvaluateOptions {
	readonly device: Device;
	readonly real: PictureFiles;
	readonly sets: readonly PictureFiles[];
	/** Default: all whose encoders are on this machine. A metric that is named and can't be measured is an error. */
	readonly metrics?: readonly MetricName[] | undefined;
	/** How pictures are brought to Inception. Default "pytorch-fid". */
	readonly fid?: FidPreprocessing | undefined;
	/** Default "large". */
	readonly dinov2?: "small" | "base" | "large" | undefined;
	/** Classifier that LPIPS is of. Default "alex", which is the usual one for distances of pictures. */
	readonly lpips?: "alex" | "vgg" | undefined;
	/** Folder of public encoders, looked into before the Hub's cache. */
	readonly encoders?: string | undefined;
	/** A model folder whose classifier and towers measure instead of public encoders. */
	readonly instruments?: string | undefined;
	/** For CLIP-T; else each picture's own recipe says its prompt. */
	readonly prompt?: string | undefined;
	/** Default: nothing is kept. */
	readonly cache?: FeatureCache | undefined;
	/** Of resampling. Default 0. */
	readonly seed?: number | undefined;
	readonly signal?: AbortSignal | undefined;
	readonly onProgress?: ((event: EvaluateEvent) => void) | undefined;
}

export interface EvaluatedSet {
	readonly name: string;
	readonly pictures: number;
	readonly metrics: Readonly<Partial<Record<MetricName, Measured & { readonly encoder: string }>>>;
}

export interface Evaluation {
	readonly real: { readonly name: string; readonly pictures: number };
	readonly sets: readonly EvaluatedSet[];
	/** What could not be measured, and why. */
	readonly unavailable: readonly { readonly metric: MetricName; readonly reason: string }[];
	/** What to know when reading the numbers. */
	readonly notes: readonly string[];
}

/** What could not be measured, a line per reason. */
export function byReason(unavailable: Evaluation["unavailable"]): string[] {
	const metrics = new Map<string, string[]>();
	for (const { metric, reason } of unavailable) metrics.set(reason, [...(metrics.get(reason) ?? []), metric]);
	return [...metrics].map(([reason, names]) => `${names.join(", ")}: ${reason}`);
}

/** An evaluation with what its page shows of single pictures. */
export interface EvaluationWithPictures {
	readonly evaluation: Evaluation;
	/** Per set, in the features named; null where no space of likeness was to be had. */
	readonly likenesses: readonly { readonly encoder: string; readonly likeness: Likeness }[] | null;
}

/** Spaces in which single pictures are compared on the page, the best first. */
const LIKENESS_SPACES: readonly Space[] = ["dino", "clip", "image-tower", "dinov2", "classifier", "cmmd", "inception"];

/**
 * Measures generated pictures. Pictures are read one after another, so memory does not grow with their pixels: of each picture only its
 * features stay (8 KB for Inception's).
 *
 * @throws ArgumentError for a metric that was named and can't be measured; HubError naming the command that fetches its encoder
 */
export async function evaluate(options: EvaluateOptions): Promise<EvaluationWithPictures> {
	const { real, sets } = options;
	if (real.files.length === 0) throw new ArgumentError("there are no real pictures to compare with");
	if (sets.length === 0) throw new ArgumentError("there are no generated pictures to evaluate");
	return new EvaluationRun(options).run();
}

class EvaluationRun {
	private readonly spaces: SpaceOptions;
	private readonly cache: FeatureCache;
	private readonly features = new Map<Space, { encoder: string; sets: FeatureSet[] }>();
	private readonly unavailable = new Map<MetricName, string>();

	constructor(private readonly options: EvaluateOptions) {
		const { fid = "pytorch-fid", dinov2 = "large", encoders, instruments } = options;
		this.spaces = { fid, dinov2, encoders, instruments };
		this.cache = options.cache ?? new FeatureCache(null);
	}

	async run(): Promise<EvaluationWithPictures> {
		const { real, sets, metrics: named } = this.options;
		const wanted = named ?? METRIC_NAMES;
		for (const metric of wanted) await this.prepare(metric);
		const measured = wanted.filter((metric) => !this.unavailable.has(metric));
		if (measured.length === 0) throw this.nothing();
		const results: EvaluatedSet[] = [];
		for (const [index, set] of sets.entries()) {
			const metrics: Partial<Record<MetricName, Measured & { encoder: string }>> = {};
			for (const metric of wanted) {
				if (this.unavailable.has(metric)) continue;
				const value = await this.measure(metric, index);
				if (value) metrics[metric] = value;
			}
			results.push({ name: set.name, pictures: set.files.length, metrics });
		}
		if (results.every(({ metrics }) => Object.keys(metrics).length === 0)) throw this.tooFew(results, measured);
		const evaluation: Evaluation = {
			real: { name: real.name, pictures: real.files.length },
			sets: results,
			unavailable: [...this.unavailable].map(([metric, reason]) => ({ metric, reason })),
			notes: sampleNotes(real.files.length, results, {
				ownInstruments: this.options.instruments !== undefined,
				wanted: measured,
			}),
		};
		return { evaluation, likenesses: this.likenesses() };
	}

	/** Without an encoder there is no evaluation; a model's own instruments are one way out. */
	private nothing(): ArgumentError {
		const reasons = [...new Set(this.unavailable.values())].join(" ");
		const own =
			this.options.instruments === undefined ? ' Or measure with a model\'s own, as "--instruments mini" does.' : "";
		return new ArgumentError(`nothing can be measured: ${reasons}${own}`);
	}

	/** Not a single number came out. */
	private tooFew(results: readonly EvaluatedSet[], wanted: readonly MetricName[]): ArgumentError {
		const { length } = this.options.real.files;
		const reasons = results.flatMap((set) => tooFewPictures(length, set, wanted));
		return new ArgumentError(
			[...reasons, ...[...this.unavailable].map(([metric, reason]) => `${metric}: ${reason}`)].join(" "),
		);
	}

	private spaceOf(metric: MetricName): Space | null {
		const { space, ownSpace } = metricRow(metric);
		return this.options.instruments === undefined ? space : ownSpace;
	}

	/** Makes the features that a metric needs, or says why they can't be had. */
	private async prepare(metric: MetricName): Promise<void> {
		const { instruments, metrics: named } = this.options;
		try {
			if (metric === "lpips") await this.findLpips();
			else {
				const space = this.spaceOf(metric);
				if (space === null)
					throw new ArgumentError(`${metric} has no counterpart among the instruments of ${instruments}`);
				await this.encode(space);
			}
		} catch (error) {
			const missing = error instanceof HubError && error.code === "HUB_NOT_CACHED";
			if (named || !(missing || (error instanceof ArgumentError && instruments !== undefined))) throw error;
			this.drop(metric, (error as Error).message);
		}
	}

	private drop(metric: MetricName, reason: string): void {
		this.unavailable.set(metric, reason);
		this.options.onProgress?.({ kind: "unavailable", metric, reason });
	}

	/** Features of all sets in a space, the real ones first. */
	private async encode(space: Space): Promise<void> {
		if (this.features.has(space)) return;
		const { device, real, sets, signal, onProgress } = this.options;
		const encoder = await openSpace(space, device, this.spaces);
		try {
			const made: FeatureSet[] = [];
			for (const { name, files } of [real, ...sets]) {
				const total = files.length;
				const onPictures = (done: number) =>
					onProgress?.({ kind: "features", encoder: encoder.name, set: name, done, total });
				made.push(
					await this.cache.get(encoder.key, files, async () => {
						const { data, width } = await encoder.encode(readPictures(files), { signal, onPictures });
						return featureSet(data, width);
					}),
				);
			}
			this.features.set(space, { encoder: encoder.name, sets: made });
		} finally {
			encoder.dispose();
		}
	}

	private async measure(metric: MetricName, index: number): Promise<(Measured & { encoder: string }) | null> {
		// Every number has random numbers of its own, so that leaving one out changes no other.
		const random = new SeededRandom(this.options.seed ?? 0, 100 * index + METRIC_NAMES.indexOf(metric));
		if (metric === "lpips") return this.measureLpips(index, random);
		const { encoder, sets } = this.features.get(this.spaceOf(metric)!)!;
		const [real, generated] = [sets[0]!, sets[index + 1]!];
		const value = await this.measureFeatures(metric, real, generated, index, random);
		return value && { ...value, encoder };
	}

	private async measureFeatures(
		metric: Exclude<MetricName, "lpips">,
		real: FeatureSet,
		generated: FeatureSet,
		index: number,
		random: SeededRandom,
	): Promise<Measured | null> {
		switch (metric) {
			case "fid":
			case "fd-dinov2":
				return Math.min(real.rows, generated.rows) < 2 ? null : measureFrechet(real, generated, random);
			case "kid":
				return Math.min(real.rows, generated.rows) < 2 ? null : measureKid(real, generated, random);
			case "cmmd":
				return measureCmmd(real, generated, random);
			case "clip-i":
			case "dino":
				return measureLikeness(real, generated, random);
			case "clip-t":
				return this.measurePrompts(generated, index, random);
			case "memorisation":
				return measureMemorisation(real, generated, random);
			case "vendi":
				return measureVendi(generated, random);
			default: {
				const readings = readManifold(real, generated);
				return readings && measureManifold(readings, metric, random);
			}
		}
	}

	/** CLIP-T; null where a picture has no prompt. */
	private async measurePrompts(generated: FeatureSet, index: number, random: SeededRandom): Promise<Measured | null> {
		const { device, prompt, sets, metrics: named } = this.options;
		const { name, files } = sets[index]!;
		const prompts: string[] = [];
		for (const file of files) {
			const text = prompt ?? (await promptOf(file));
			if (text === null) {
				if (named) throw new ArgumentError(`clip-t: ${file} carries no prompt; give one for all with --prompt`);
				if (!this.unavailable.has("clip-t"))
					this.drop("clip-t", `the pictures of ${name} carry no prompt; give one for all with --prompt`);
				return null;
			}
			prompts.push(text);
		}
		const texts = [...new Set(prompts)];
		const embedded = normalizedRows(await embedPrompts(device, this.spaces, texts));
		const pictures = normalizedRows(generated);
		const { width } = pictures;
		const values = Float64Array.from(prompts, (text, i) => {
			const row = texts.indexOf(text);
			let sum = 0;
			for (let k = 0; k < width; k++) sum += pictures.data[i * width + k]! * embedded.data[row * width + k]!;
			return sum;
		});
		return measureMean(values, random);
	}

	private async measureLpips(index: number, random: SeededRandom): Promise<(Measured & { encoder: string }) | null> {
		const { device, sets, lpips, signal } = this.options;
		const { files } = sets[index]!;
		const m = files.length;
		if (m < 2) return null;
		const path = await this.findLpips();
		const pairs = await lpipsPairs(device, path, m, (i) => readImage(files[i]!), random, signal);
		let matrix: Float64Array | null = null;
		if (pairs.distance.length === (m * (m - 1)) / 2) {
			matrix = new Float64Array(m * m);
			for (const [k, distance] of pairs.distance.entries()) {
				const [i, j] = [pairs.first[k]!, pairs.second[k]!];
				matrix[i * m + j] = distance;
				matrix[j * m + i] = distance;
			}
		}
		return {
			...measurePairs(pairs.distance, matrix, m, random),
			encoder: lpips === "vgg" ? "LPIPS, VGG" : "LPIPS, AlexNet",
		};
	}

	private findLpips(): Promise<string> {
		const { lpips = "alex", encoders } = this.options;
		return findEncoder(`lpips-${lpips}`, { folder: encoders });
	}

	private likenesses(): EvaluationWithPictures["likenesses"] {
		const space = LIKENESS_SPACES.find((each) => this.features.has(each));
		if (space === undefined) return null;
		const { encoder, sets } = this.features.get(space)!;
		return sets.slice(1).map((set) => ({ encoder, likeness: likeness(sets[0]!, set) }));
	}
}

/** Files being decoded while others are encoded. */
const LOOKAHEAD = 4;

async function* readPictures(files: readonly string[]): AsyncGenerator<ImageU8, void, undefined> {
	const reading: Promise<ImageU8>[] = [];
	let next = 0;
	const start = () => {
		if (next >= files.length) return;
		const picture = readImage(files[next++]!);
		picture.catch(() => undefined);
		reading.push(picture);
	};
	for (let i = 0; i < LOOKAHEAD; i++) start();
	for (let picture = reading.shift(); picture; picture = reading.shift()) {
		yield await picture;
		start();
	}
}

/** The prompt that a picture's recipe says it was made with. */
async function promptOf(file: string): Promise<string | null> {
	if (!/\.png$/i.test(file)) return null;
	const recipe = (await readPngRecipe(file).catch(() => null)) as { prompt?: unknown } | null;
	return typeof recipe?.prompt === "string" && recipe.prompt !== "" ? recipe.prompt : null;
}
