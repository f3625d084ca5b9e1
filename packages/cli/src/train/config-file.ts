// What a configuration file of `train` says: settings of learning and of the run, as JSON or YAML.
import { readFile, stat } from "node:fs/promises";
import { z } from "zod";
import { CommandError } from "../errors.js";
import { METHOD_NAMES, optionSettings } from "./options.js";

/** Keys beside the settings of learning: what the run is of, and how it reports. */
const runSchema = z.strictObject({
	images: z.union([z.string().transform((path) => [path]), z.array(z.string()).nonempty()]).optional(),
	model: z.string().optional(),
	out: z.string().optional(),
	method: z.enum(METHOD_NAMES).optional(),
	prior: z.string().optional(),
	preset: z.enum(["paper", "official", "mini"]).optional(),
	checkpointEvery: z.number().optional(),
	keep: z.number().optional(),
	sampleEvery: z.number().optional(),
	validationPrompts: z.array(z.string()).optional(),
	tensorboard: z.boolean().optional(),
});
export type RunConfig = z.infer<typeof runSchema>;

export interface TrainConfig {
	readonly run: RunConfig;
	/** Settings of learning, not checked yet. */
	readonly settings: Readonly<Record<string, unknown>>;
}

const MAX_FILE = 2 ** 20;

/**
 * Reads a configuration file: one mapping, whose keys are the settings of learning under their own names (`learningRate`) or those of
 * their options (`lr`), and `images`, `model`, `out` and the like.
 *
 * @throws CommandError naming the file and the line or the key; for a key that does not exist, the nearest that does
 */
export async function readConfigFile(path: string): Promise<TrainConfig> {
	const values = await parse(path);
	const { learnSettingsSchema, nearest } = await import("@dreamdist/core");
	const fail = (problem: string) => new CommandError(`The configuration ${path}: ${problem}`);
	const byOption = optionSettings();
	const { METHOD_SETTINGS } = await import("@dreamdist/models");
	const schemas = [learnSettingsSchema, ...Object.values(METHOD_SETTINGS)];
	const known = [...new Set(schemas.flatMap(({ shape }) => Object.keys(shape)))];
	const runKeys = Object.keys(runSchema.shape);
	const own: Record<string, unknown> = {};
	const settings: Record<string, unknown> = {};
	for (const [key, value] of Object.entries(values)) {
		const setting = known.includes(key) ? key : byOption.get(key);
		if (setting !== undefined) {
			if (Object.hasOwn(settings, setting)) throw fail(`"${key}" and "${setting}" are the same setting.`);
			// A single side stands for a square, as on the command line.
			settings[setting] = setting === "size" && typeof value === "number" ? [value, value] : value;
		} else if (runKeys.includes(camel(key))) own[camel(key)] = value;
		else {
			const near = nearest(key, [...known, ...runKeys, ...byOption.keys()]);
			throw fail(`there is no setting "${key}"${near ? `; did you mean "${near}"?` : "."}`);
		}
	}
	const run = runSchema.safeParse(own);
	if (!run.success) {
		const issue = run.error.issues[0]!;
		throw fail(`"${issue.path.join(".")}" is not what it should be (${issue.message}).`);
	}
	return { run: run.data, settings };
}

const camel = (key: string) => key.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());

async function parse(path: string): Promise<Record<string, unknown>> {
	let text: string;
	try {
		const { size } = await stat(path);
		if (size > MAX_FILE)
			throw new CommandError(`The configuration ${path} has ${size} bytes; at most ${MAX_FILE} are read.`);
		text = await readFile(path, "utf8");
	} catch (error) {
		if (error instanceof CommandError) throw error;
		throw new CommandError(`The configuration ${path} can't be read (${(error as NodeJS.ErrnoException).code}).`);
	}
	const value = text.trimStart().startsWith("{") ? parseJson(text, path) : await parseYaml(text, path);
	// An empty file sets nothing.
	if (value === null || value === undefined) return {};
	if (typeof value !== "object" || Array.isArray(value))
		throw new CommandError(`The configuration ${path} is no mapping of settings to values.`);
	return value as Record<string, unknown>;
}

function parseJson(text: string, path: string): unknown {
	try {
		return JSON.parse(text) as unknown;
	} catch (error) {
		throw new CommandError(`The configuration ${path} is not JSON: ${(error as Error).message}.`);
	}
}

async function parseYaml(text: string, path: string): Promise<unknown> {
	const { parseDocument } = await import("yaml");
	const document = parseDocument(text, { prettyErrors: true });
	const problem = document.errors[0] ?? document.warnings[0];
	// The library's message goes on with a picture of the line.
	if (problem)
		throw new CommandError(
			`The configuration ${path} is not YAML: ${problem.message.split("\n")[0]!.replace(/:$/, "")}.`,
		);
	try {
		return document.toJS({ maxAliasCount: 100 }) as unknown;
	} catch (error) {
		throw new CommandError(`The configuration ${path} is not read: ${(error as Error).message}.`);
	}
}
