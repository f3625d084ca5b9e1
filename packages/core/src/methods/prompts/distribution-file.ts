// Distributions on disk: one safetensors file that any language can read.
import { z } from "zod";
import { openSafetensors } from "../../data/safetensors/reader.js";
import { writeSafetensors } from "../../data/safetensors/writer.js";
import { FormatError } from "../../errors.js";
import { CLASS_POSITIONS, WORD_POSITIONS } from "./frame.js";

/** Which model a distribution was learned with. */
export const modelIdentitySchema = z.object({
	/** As the user named it: a path or a Hub id. */
	id: z.string(),
	/** Of the text encoder's weights, hexadecimal; the encoder is what a distribution belongs to. */
	hash: z.string(),
});
export type ModelIdentity = z.infer<typeof modelIdentitySchema>;

/** The words that were around the vectors while they were learned. */
export const learnedWordsSchema = z.object({
	prefix: z.string().default(""),
	suffix: z.string().default(""),
	classPosition: z.enum(CLASS_POSITIONS).default("end"),
	/** "twice" for vectors that the official code has learned. */
	wordPositions: z.enum(WORD_POSITIONS).optional(),
});
export type LearnedWords = z.infer<typeof learnedWordsSchema>;

/** The contents of a distribution file. */
export interface DistributionContents {
	/** [C, K, M, d] */
	readonly tokens: Float32Array;
	readonly shape: readonly [classes: number, prompts: number, vectors: number, width: number];
	/** Names of the C classes; null where there is one distribution and no classes. */
	readonly classes: readonly string[] | null;
	readonly words: LearnedWords;
	readonly baseModel: ModelIdentity | null;
	/** The method's settings as they were given, for the record. */
	readonly settings: Readonly<Record<string, unknown>>;
}

const FORMAT = "dreamdist.prompt_distribution";
const VERSION = "1";

/** Writes `tokens` [K, M, d], or [C, K, M, d] with classes, f32, with everything else as metadata; whole or not at all. */
export async function writeDistribution(path: string, contents: DistributionContents): Promise<void> {
	const { tokens, shape, classes, words, baseModel, settings } = contents;
	await writeSafetensors(
		path,
		{ tokens: { dtype: "F32", shape: classes ? shape : shape.slice(1), data: tokens } },
		{
			metadata: {
				format: FORMAT,
				version: VERSION,
				words: JSON.stringify(words),
				settings: JSON.stringify(settings),
				...(classes && { classes: JSON.stringify(classes) }),
				...(baseModel && { base_model: JSON.stringify(baseModel) }),
			},
		},
	);
}

/**
 * Reads a distribution. A file without our metadata is read too if it has such a tensor.
 *
 * @throws FileError when it can't be read, FormatError `BAD_DISTRIBUTION` when it is none
 */
export async function readDistribution(path: string): Promise<DistributionContents> {
	const file = await openSafetensors(path);
	try {
		const fail = (problem: string) =>
			new FormatError("BAD_DISTRIBUTION", path, `${path} is no distribution: ${problem}`);
		const entry = file.tensors.get("tokens");
		if (!entry) throw fail('it has no tensor "tokens" of [prompts, vectors, width]');
		const version = file.metadata.get("version");
		if (file.metadata.get("format") === FORMAT && version !== VERSION)
			throw fail(`it has version ${version}; this program reads version ${VERSION}`);
		const classes = metadata(file.metadata, "classes", z.array(z.string()).nonempty().nullable(), null, fail);
		const rank = classes ? 4 : 3;
		if (entry.shape.length !== rank || entry.shape.some((n) => n < 1))
			throw fail(
				`its tokens have the shape [${entry.shape.join(", ")}]; ${classes ? "with" : "without"} classes they have ${rank} axes`,
			);
		const shape = (classes ? entry.shape : [1, ...entry.shape]) as [number, number, number, number];
		if (classes && classes.length !== shape[0])
			throw fail(`it names ${classes.length} classes but has tokens of ${shape[0]}`);
		const tokens = await file.readF32("tokens");
		const bad = tokens.findIndex((value) => !Number.isFinite(value));
		if (bad >= 0) throw fail(`its tokens hold ${tokens[bad]} at position ${bad}`);
		return {
			tokens,
			shape,
			classes,
			words: metadata(file.metadata, "words", learnedWordsSchema, learnedWordsSchema.parse({}), fail),
			baseModel: metadata(file.metadata, "base_model", modelIdentitySchema.nullable(), null, fail),
			settings: metadata(file.metadata, "settings", z.record(z.string(), z.unknown()), {}, fail),
		};
	} finally {
		await file.close();
	}
}

/** Reads one entry of a file's metadata, which hold JSON. */
export function metadata<T>(
	pairs: ReadonlyMap<string, string>,
	key: string,
	schema: z.ZodType<T>,
	absent: T,
	fail: (problem: string) => Error,
): T {
	const text = pairs.get(key);
	if (text === undefined) return absent;
	let json: unknown;
	try {
		json = JSON.parse(text);
	} catch {
		throw fail(`its metadata "${key}" are not JSON`);
	}
	const parsed = schema.safeParse(json);
	if (!parsed.success)
		throw fail(`its metadata "${key}" are not what they should be (${parsed.error.issues[0]?.message})`);
	return parsed.data;
}
