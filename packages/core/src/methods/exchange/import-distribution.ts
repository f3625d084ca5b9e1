// Distributions and embeddings of other programs: the official code's .pt and .npz files, and Textual Inversion's embeddings.
import { basename } from "node:path";
import { NpzFile } from "../../data/numpy/index.js";
import { openSafetensors } from "../../data/safetensors/index.js";
import { openTorch } from "../../data/torch/index.js";
import { ArgumentError, FormatError } from "../../errors.js";
import { PromptDistribution } from "../prompts/distribution.js";
import type { LearnedWords, ModelIdentity } from "../prompts/distribution-file.js";
import { FittedDistribution } from "../prompts/fitted-distribution.js";
import type { ClassPosition } from "../prompts/frame.js";

export interface ImportOptions {
	/** Names of the classes, in the file's order; needed where it has several. */
	readonly classes?: readonly string[];
	/** Where the class name stood while learning. Default "end". */
	readonly classPosition?: ClassPosition;
	/** Words that stood around the vectors while learning; the files do not say. */
	readonly prefix?: string;
	readonly suffix?: string;
	/** The model it was learned with. */
	readonly baseModel?: ModelIdentity;
}

/** Where an imported distribution comes from. */
export type ImportedForm = "official .pt" | "official .npz" | "textual inversion";

export interface Imported {
	readonly form: ImportedForm;
	readonly distribution: PromptDistribution | FittedDistribution;
}

/** Named tensors, however they are stored. */
interface NamedTensors {
	readonly shapes: ReadonlyMap<string, { readonly shape: readonly number[]; readonly dtype: string }>;
	readF32(name: string): Promise<Float32Array>;
	close(): Promise<void>;
}

/**
 * Reads a file of another program as a distribution. No code in it is executed.
 *
 * @throws FileError when it can't be read; FormatError naming the file when it is none of the forms; ArgumentError when its classes
 * are not named
 */
export async function importDistribution(path: string, options: ImportOptions = {}): Promise<Imported> {
	if (path.toLowerCase().endsWith(".npz")) return importNpz(path, options);
	const file = await openTensors(path);
	try {
		return await importTensors(path, file, options);
	} finally {
		await file.close();
	}
}

async function openTensors(path: string): Promise<NamedTensors> {
	if (path.toLowerCase().endsWith(".safetensors")) {
		const file = await openSafetensors(path);
		return { shapes: file.tensors, readF32: (name) => file.readF32(name), close: () => file.close() };
	}
	const file = await openTorch(path);
	return { shapes: file.tensors, readF32: (name) => file.readF32(name), close: () => file.close() };
}

const bad = (path: string, problem: string) =>
	new FormatError("BAD_IMPORT", path, `${path} can't be imported: ${problem}`);

const FLOATS = new Set(["F32", "F16", "BF16", "F64"]);

async function importTensors(path: string, file: NamedTensors, options: ImportOptions): Promise<Imported> {
	const names = [...file.shapes.keys()];
	const floats = names.filter((name) => FLOATS.has(file.shapes.get(name)!.dtype));
	// The learner's vectors, whatever module they were saved inside of.
	const learned = floats.find((name) => /(^|\.)ctx$/.test(name));
	if (learned !== undefined) {
		const { shape } = file.shapes.get(learned)!;
		if (shape.length !== 3 && shape.length !== 4)
			throw bad(
				path,
				`its vectors "${learned}" have the shape [${shape.join(", ")}], not [classes, prompts, vectors, width]`,
			);
		const full = (shape.length === 4 ? shape : [1, ...shape]) as [number, number, number, number];
		const classes = classNames(path, full[0], options);
		return {
			form: "official .pt",
			distribution: await promptDistribution(path, file, learned, full, classes, "official .pt", options),
		};
	}
	if (floats.some((name) => /(^|\.)clip_[lg]$/.test(name)))
		throw bad(path, "it is an embedding of Stable Diffusion XL, which has two text encoders");
	if (file.shapes.has("prompt_embeds"))
		throw bad(path, "it is conditioning of one prompt, which can be generated from as it is");
	if (file.shapes.has("tokens")) throw bad(path, "it is a distribution already; use it as it is");
	const embedding =
		floats.find((name) => /(^|\.)string_to_param(\.|$)/.test(name)) ??
		floats.find((name) => /(^|\.)emb_params$/.test(name)) ??
		(names.length === 1 ? floats[0] : undefined);
	const shape = embedding === undefined ? [] : file.shapes.get(embedding)!.shape;
	if (embedding === undefined || shape.length < 1 || shape.length > 2 || shape.includes(0)) {
		const some = names.slice(0, 5).map((name) => `${name} [${file.shapes.get(name)!.shape.join(", ")}]`);
		throw bad(
			path,
			`it holds neither a prompt learner's "ctx" nor one embedding of Textual Inversion, but ${some.join(", ") || "no tensors"}${names.length > 5 ? ` and ${names.length - 5} more` : ""}`,
		);
	}
	const full = [1, 1, shape.length === 2 ? shape[0]! : 1, shape.at(-1)!] as const;
	const distribution = await promptDistribution(path, file, embedding, full, null, "textual inversion", options);
	return { form: "textual inversion", distribution };
}

async function promptDistribution(
	path: string,
	file: NamedTensors,
	name: string,
	shape: readonly [number, number, number, number],
	classes: readonly string[] | null,
	form: ImportedForm,
	options: ImportOptions,
): Promise<PromptDistribution> {
	if (shape.includes(0)) throw bad(path, `its vectors "${name}" have the shape [${shape.join(", ")}]`);
	const tokens = await file.readF32(name);
	const wrong = tokens.findIndex((value) => !Number.isFinite(value));
	if (wrong >= 0) throw bad(path, `its vectors "${name}" hold ${tokens[wrong]} at position ${wrong}`);
	const { prefix = "", suffix = "", classPosition = "end", baseModel = null } = options;
	// The official code adds positions to words when it looks them up, and again before it encodes.
	const positions = form === "official .pt" ? ({ wordPositions: "twice" } as const) : {};
	const words: LearnedWords = { prefix, suffix, classPosition, ...positions };
	return PromptDistribution.of({ tokens, shape, classes, words, baseModel, settings: origin(path, form) });
}

const origin = (path: string, form: ImportedForm) => ({ importedFrom: basename(path), form });

/** @throws ArgumentError unless there is a name for each of several classes */
function classNames(path: string, count: number, { classes }: ImportOptions): readonly string[] | null {
	if (!classes) {
		if (count === 1) return null;
		throw new ArgumentError(
			`${path} has ${count} classes, whose names it does not hold; give them in their order, one per line (--classes FILE)`,
		);
	}
	if (classes.length !== count)
		throw new ArgumentError(
			`${path} has ${count} class${count > 1 ? "es" : ""}, but ${classes.length} names were given`,
		);
	const twice = classes.find((name, i) => classes.indexOf(name) !== i || name.trim() === "");
	if (twice !== undefined) throw new ArgumentError(`the class name "${twice}" is there twice, or empty`);
	return classes;
}

async function importNpz(path: string, options: ImportOptions): Promise<Imported> {
	const npz = await NpzFile.open(path);
	try {
		const [means, stds] = [await npz.numbers("means"), await npz.numbers("stds")];
		const { shape } = means;
		if ((shape.length !== 2 && shape.length !== 3) || shape.includes(0) || shape.join() !== stds.shape.join())
			throw bad(
				path,
				`its means [${shape.join(", ")}] and stds [${stds.shape.join(", ")}] are not both [classes, positions, width]`,
			);
		if (options.prefix !== undefined || options.suffix !== undefined)
			throw new ArgumentError(
				`${path} holds fitted features, so words can't be put around it; leave out the prefix and suffix`,
			);
		const full = (shape.length === 3 ? shape : [1, ...shape]) as [number, number, number];
		const hasNames = full[0] > 1 && !options.classes && npz.names.includes("class_names");
		const named = hasNames ? { ...options, classes: await npz.texts("class_names") } : options;
		const contents = {
			mean: Float32Array.from(means.data),
			std: Float32Array.from(stds.data),
			shape: full,
			classes: classNames(path, full[0], named),
			baseModel: options.baseModel ?? null,
			settings: origin(path, "official .npz"),
		};
		try {
			return { form: "official .npz", distribution: FittedDistribution.of(contents) };
		} catch (error) {
			throw bad(path, (error as Error).message);
		}
	} finally {
		await npz.close();
	}
}
