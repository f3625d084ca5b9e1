// A distribution of which only the Gaussian is known, not the vectors it was fitted to: what the official code's .npz files hold.
import { z } from "zod";
import { openSafetensors } from "../../data/safetensors/reader.js";
import { writeSafetensors } from "../../data/safetensors/writer.js";
import { ArgumentError, FormatError } from "../../errors.js";
import { classIndexOf } from "./classes.js";
import { PromptDistribution, type PromptSource } from "./distribution.js";
import { type ModelIdentity, metadata, modelIdentitySchema } from "./distribution-file.js";
import { FeatureDistribution } from "./feature-distribution.js";
import type { PromptEncoder } from "./prompt-encoder.js";

export interface FittedContents {
	/** [C, L, d] */
	readonly mean: Float32Array;
	/** [C, L, d] */
	readonly std: Float32Array;
	readonly shape: readonly [classes: number, length: number, width: number];
	/** Names of the C classes; null where there are none. */
	readonly classes: readonly string[] | null;
	readonly baseModel: ModelIdentity | null;
	/** Where it comes from, for the record. */
	readonly settings: Readonly<Record<string, unknown>>;
}

const FORMAT = "dreamdist.feature_distribution";
const VERSION = "1";
/** What diffusers calls a prompt's features. */
export const CONDITIONING = "prompt_embeds";

/**
 * Gaussians over text features, one per class. They can be sampled, scaled and mixed; words can't be put around them, since that would
 * encode the learned vectors anew.
 */
export class FittedDistribution implements PromptSource {
	private constructor(
		private readonly contents: FittedContents,
		readonly gamma: number,
		private readonly classIndex: number,
	) {}

	/** @throws ArgumentError unless there are as many finite numbers as the shape says, and no deviation is negative */
	static of(contents: FittedContents): FittedDistribution {
		const { mean, std, shape } = contents;
		const size = shape.reduce((a, b) => a * b, 1);
		if (mean.length !== size || std.length !== size)
			throw new ArgumentError(
				`means and deviations of shape [${shape.join(", ")}] are ${size} numbers each, not ${mean.length} and ${std.length}`,
			);
		if (mean.some((value) => !Number.isFinite(value))) throw new ArgumentError("its means are not all finite numbers");
		if (std.some((value) => !(Number.isFinite(value) && value >= 0)))
			throw new ArgumentError("its deviations are not all finite numbers from 0 on");
		return new FittedDistribution(contents, 1, 0);
	}

	/** @throws FileError when it can't be read, FormatError `BAD_DISTRIBUTION` when it is none */
	static async load(path: string): Promise<FittedDistribution> {
		const file = await openSafetensors(path);
		try {
			const fail = (problem: string) =>
				new FormatError("BAD_DISTRIBUTION", path, `${path} is no distribution: ${problem}`);
			const [mean, std] = [file.tensors.get("mean"), file.tensors.get("std")];
			if (!mean || !std) throw fail('it has no tensors "mean" and "std"');
			const version = file.metadata.get("version");
			if (file.metadata.get("format") === FORMAT && version !== VERSION)
				throw fail(`it has version ${version}; this program reads version ${VERSION}`);
			const classes = metadata(file.metadata, "classes", z.array(z.string()).nonempty().nullable(), null, fail);
			const rank = classes ? 3 : 2;
			if (mean.shape.length !== rank || mean.shape.some((side) => side < 1) || mean.shape.join() !== std.shape.join())
				throw fail(`its means and deviations have the shapes [${mean.shape.join(", ")}] and [${std.shape.join(", ")}]`);
			const shape = (classes ? mean.shape : [1, ...mean.shape]) as [number, number, number];
			if (classes && classes.length !== shape[0])
				throw fail(`it names ${classes.length} classes but has numbers of ${shape[0]}`);
			const contents = {
				mean: await file.readF32("mean"),
				std: await file.readF32("std"),
				shape,
				classes,
				baseModel: metadata(file.metadata, "base_model", modelIdentitySchema.nullable(), null, fail),
				settings: metadata(file.metadata, "settings", z.record(z.string(), z.unknown()), {}, fail),
			};
			try {
				return FittedDistribution.of(contents);
			} catch (error) {
				throw fail((error as Error).message);
			}
		} finally {
			await file.close();
		}
	}

	/** L, positions of the text encoder. */
	get length(): number {
		return this.contents.shape[1];
	}

	/** d */
	get width(): number {
		return this.contents.shape[2];
	}

	get classes(): readonly string[] | null {
		return this.contents.classes;
	}

	get className(): string | null {
		return this.contents.classes?.[this.classIndex] ?? null;
	}

	get baseModel(): ModelIdentity | null {
		return this.contents.baseModel;
	}

	get settings(): Readonly<Record<string, unknown>> {
		return this.contents.settings;
	}

	/** The Gaussian of the chosen class, scaled. */
	get features(): FeatureDistribution {
		const { mean, std, shape } = this.contents;
		const [, length, width] = shape;
		const from = this.classIndex * length * width;
		const part = (all: Float32Array) => all.subarray(from, from + length * width);
		const all = new FeatureDistribution(part(mean), part(std), length, width);
		return this.gamma === 1 ? all : all.scale(this.gamma);
	}

	/** The deviation times `gamma`, on top of earlier scaling. */
	scale(gamma: number): FittedDistribution {
		if (!(Number.isFinite(gamma) && gamma >= 0))
			throw new ArgumentError(`the scale of a distribution must be a number from 0 on, not ${gamma}`);
		return new FittedDistribution(this.contents, this.gamma * gamma, this.classIndex);
	}

	/** One class of a distribution of several. */
	ofClass(name: string): FittedDistribution {
		return new FittedDistribution(this.contents, this.gamma, classIndexOf(this.contents.classes, name));
	}

	/** @throws ArgumentError if the encoder has another width or length */
	async fit(encoder: PromptEncoder): Promise<FeatureDistribution> {
		const { length, width } = encoder.textEncoder;
		if (length !== this.length || width !== this.width)
			throw new ArgumentError(
				`the distribution's features are [${this.length}, ${this.width}], but the model's text encoder gives [${length}, ${width}]; ` +
					"a distribution works with models of the text encoder that it was learned with",
			);
		return this.features;
	}

	/** Writes one safetensors file with `mean` and `std` [L, d], or [C, L, d] with classes; whole or not at all. */
	async save(path: string): Promise<void> {
		const { mean, std, shape, classes, baseModel, settings } = this.contents;
		const own = classes ? shape : shape.slice(1);
		await writeSafetensors(
			path,
			{ mean: { dtype: "F32", shape: own, data: mean }, std: { dtype: "F32", shape: own, data: std } },
			{
				metadata: {
					format: FORMAT,
					version: VERSION,
					settings: JSON.stringify(settings),
					...(classes && { classes: JSON.stringify(classes) }),
					...(baseModel && { base_model: JSON.stringify(baseModel) }),
				},
			},
		);
	}
}

/** Conditioning of one prompt, [L, d] or [1, L, d]: a Gaussian without spread. */
async function loadConditioning(path: string): Promise<FittedDistribution> {
	const file = await openSafetensors(path);
	try {
		const { shape } = file.entry(CONDITIONING);
		const fail = (problem: string) =>
			new FormatError("BAD_DISTRIBUTION", path, `${path} is no conditioning: ${problem}`);
		const sides = shape.length === 3 && shape[0] === 1 ? shape.slice(1) : shape;
		if (sides.length !== 2 || sides.includes(0))
			throw fail(`its ${CONDITIONING} have the shape [${shape.join(", ")}], not [positions, width]`);
		const mean = await file.readF32(CONDITIONING);
		const isOurs = file.metadata.get("format") === "dreamdist.conditioning";
		const source = isOurs ? metadata(file.metadata, "source", z.record(z.string(), z.unknown()), {}, fail) : {};
		const baseModel = modelIdentitySchema.nullish().safeParse(source.baseModel);
		try {
			return FittedDistribution.of({
				mean,
				std: new Float32Array(mean.length),
				shape: [1, sides[0]!, sides[1]!],
				classes: null,
				baseModel: (baseModel.success && baseModel.data) || null,
				settings: source,
			});
		} catch (error) {
			throw fail((error as Error).message);
		}
	} finally {
		await file.close();
	}
}

/** A distribution file of either kind, or conditioning of one prompt. @throws FileError or FormatError in one sentence that names the file */
export async function loadDistribution(path: string): Promise<PromptDistribution | FittedDistribution> {
	const file = await openSafetensors(path);
	const has = (name: string) => file.tensors.has(name);
	await file.close();
	if (has("tokens")) return PromptDistribution.load(path);
	if (has("mean") && has("std")) return FittedDistribution.load(path);
	return has(CONDITIONING) ? loadConditioning(path) : PromptDistribution.load(path);
}
