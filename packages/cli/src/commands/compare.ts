// `dreamdist compare`: methods on reference sets, trained, painted, measured, and put into one table.
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ComparedMethod, CompareEvent, ComparePlan, CompareSettings, SetToCompare } from "@dreamdist/eval";
import { type Command, InvalidArgumentError } from "commander";
import { addExample, parseCount, parseSeed } from "../common-options.js";
import { folderSet } from "../compare/folder-set.js";
import { allWorldSets, checkWorldSets, worldSet } from "../compare/world-sets.js";
import type { CommandContext, CommandModule } from "../context.js";
import { CommandError, UsageError } from "../errors.js";
import { DEFAULT_MODEL, loadableModel, resolveModel } from "../model-path.js";
import { userPath, writableFolder } from "../paths.js";
import { ProgressLine } from "../progress-line.js";

interface CompareArguments {
	out: string;
	model?: string;
	sets?: string[];
	methods?: string[];
	seeds?: number[];
	settings?: string;
	pictures?: number;
	priorPictures?: number;
	size?: number;
	steps?: number;
	guidance?: number;
	sampler?: string;
	encoders?: string;
	publicEncoders?: boolean;
	instruments?: string;
	quick?: boolean;
	cache: boolean;
}

/** What `--quick` puts in the place of the full settings: enough to see that all parts work together, not to judge methods by. */
const QUICK = { pictures: 6, priorPictures: 6, sets: 2, samplingSteps: 10 };
const QUICK_STEPS: Readonly<Partial<Record<ComparedMethod, number>>> = {
	"textual-inversion": 20,
	dreambooth: 10,
	"dreambooth-lora": 10,
	"custom-diffusion": 10,
	"dream-distribution": 20,
};
const FULL = { pictures: 40, priorPictures: 100 };

async function run(context: CommandContext<CompareArguments>): Promise<number> {
	const { options, output, signal, directory } = context;
	const evaluation = await import("@dreamdist/eval");
	const { loadPipeline } = await import("@dreamdist/models");
	const folder = userPath(options.out, directory);
	const before = existsSync(join(folder, evaluation.COMPARISON_FILE)) ? await evaluation.readComparison(folder) : null;
	// Nothing said: what is there goes on.
	const isNew = !before || isPlanGiven(context);
	const model = (isNew ? options.model : undefined) ?? before?.model ?? DEFAULT_MODEL;
	const drawn = await mkdtemp(join(tmpdir(), "dreamdist-compare-"));
	const line = new CellLine(!options.quiet && !options.json);
	const started = performance.now();
	try {
		const sets = isNew ? await readSets(context, drawn) : [];
		const methods = isNew ? checkMethods(options.methods, evaluation) : [];
		const sampler = isNew ? await checkSampler(options.sampler) : null;
		const table = isNew ? await methodTable(options, model, directory, evaluation) : {};
		await writableFolder(folder);
		const pipe = await loadPipeline(await loadableModel(model, directory), {
			device: options.device,
			dtype: options.dtype,
			tf32: options.tf32,
			signal,
			onProgress: (event) => {
				if (event.kind === "note") output.notice(event.message);
			},
		});
		try {
			const { encoders, instruments } = before
				? (before.settings as Pick<CompareSettings, "encoders" | "instruments">)
				: chooseEncoders(options, pipe.path);
			const measuredBy = instruments === null ? pipe.path : await resolveModel(instruments, directory);
			const plan: ComparePlan | null = isNew
				? planOf(options, { model, sets, methods, table, sampler, encoders, instruments })
				: null;
			const result = await evaluation.compare({
				folder,
				pipe,
				plan,
				measuring: {
					...(encoders === "own" && { instruments: measuredBy }),
					...(options.encoders !== undefined && { encoders: userPath(options.encoders, directory) }),
					cache: new evaluation.FeatureCache(options.cache ? evaluation.featureCacheFolder() : null),
				},
				signal,
				onEvent: (event) => {
					line.show(event);
					if (event.kind === "cell") output.event("cell", { ...event.cell, index: event.index, total: event.total });
				},
			});
			line.clear();
			const files = Object.fromEntries(
				Object.entries(evaluation.REPORT_FILES).map(([name, file]) => [name, join(folder, file)]),
			);
			const seconds = (performance.now() - started) / 1000;
			output.result({ comparison: folder, files, seconds, ...result }, () =>
				[evaluation.tableMarkdown(result), files.page].join("\n"),
			);
			return 0;
		} finally {
			pipe.dispose();
		}
	} finally {
		line.clear();
		await rm(drawn, { recursive: true, force: true });
	}
}

/** A model's own instruments where it has some and nothing else is asked for. */
function chooseEncoders(
	{ instruments, publicEncoders, encoders }: CompareArguments,
	model: string,
): Pick<CompareSettings, "encoders" | "instruments"> {
	if (instruments !== undefined) return { encoders: "own", instruments };
	const hasOwn = ["classifier", "image_encoder"].every((part) => existsSync(join(model, part)));
	return { encoders: hasOwn && !publicEncoders && encoders === undefined ? "own" : "public", instruments: null };
}

/** Whether the command line says anything of what is compared. */
function isPlanGiven({ args, options }: CommandContext<CompareArguments>): boolean {
	const { model, sets, methods, seeds, settings, pictures, priorPictures, size, steps, guidance, sampler, quick } =
		options;
	const given = [model, sets, methods, seeds, settings, pictures, priorPictures, size, steps, guidance, sampler, quick];
	return (args[0] as string[]).length > 0 || given.some((value) => value !== undefined);
}

async function readSets(
	{ args, options, directory }: CommandContext<CompareArguments>,
	drawn: string,
): Promise<SetToCompare[]> {
	const folders = args[0] as string[];
	if (folders.length > 0) {
		if (options.sets)
			throw new UsageError("--sets names drawn sets, and folders of your own were given; leave one out");
		return Promise.all(folders.map((folder) => folderSet(userPath(folder, directory))));
	}
	if (options.sets) checkWorldSets(options.sets);
	const all = options.sets ?? (await allWorldSets());
	const names = options.quick && !options.sets ? all.slice(0, QUICK.sets) : all;
	const sets: SetToCompare[] = [];
	for (const name of names) sets.push(await worldSet(name, drawn));
	return sets;
}

type EvalModule = typeof import("@dreamdist/eval");

function checkMethods(
	given: readonly string[] | undefined,
	{ COMPARED_METHODS, PAPER_METHODS }: EvalModule,
): readonly ComparedMethod[] {
	if (!given) return PAPER_METHODS;
	return given.map((name) => {
		const found = COMPARED_METHODS.find((each) => each === name);
		if (found) return found;
		throw new UsageError(`there is no method "${name}"; there are ${COMPARED_METHODS.join(", ")}`);
	});
}

async function checkSampler(given: string | undefined): Promise<ComparePlan["settings"]["sampler"]> {
	if (given === undefined) return null;
	const { SAMPLER_NAMES } = await import("@dreamdist/core");
	const found = SAMPLER_NAMES.find((name) => name === given);
	if (found) return found;
	throw new UsageError(`--sampler ${given} does not exist; choose one of ${SAMPLER_NAMES.join(", ")}`);
}

type Table = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** `--settings`: one of the tables, or a file that changes some of the entries of the model's own. */
async function methodTable(
	{ settings }: CompareArguments,
	model: string,
	directory: string,
	{ SETTINGS_TABLES }: EvalModule,
): Promise<Table> {
	const own = model === DEFAULT_MODEL ? SETTINGS_TABLES.mini : SETTINGS_TABLES.public;
	if (settings === undefined) return own;
	if (settings === "mini" || settings === "public") return SETTINGS_TABLES[settings];
	const path = userPath(settings, directory);
	let json: unknown;
	try {
		json = JSON.parse(await readFile(path, "utf8"));
	} catch (error) {
		const reason = error instanceof SyntaxError ? `is not JSON: ${error.message}` : "can't be read";
		throw new CommandError(`The settings ${path} ${reason}; --settings is mini, public, or a JSON file of methods.`);
	}
	if (!isTable(json)) throw new CommandError(`The settings ${path} must map methods to their settings.`);
	return Object.fromEntries(
		[...new Set([...Object.keys(own), ...Object.keys(json)])].map((method) => [
			method,
			{ ...own[method as ComparedMethod], ...json[method] },
		]),
	);
}

function isTable(json: unknown): json is Table {
	const isObject = (value: unknown) => typeof value === "object" && value !== null && !Array.isArray(value);
	return isObject(json) && Object.values(json as object).every(isObject);
}

function planOf(
	options: CompareArguments,
	chosen: {
		model: string;
		sets: readonly SetToCompare[];
		methods: readonly ComparedMethod[];
		table: Table;
		sampler: ComparePlan["settings"]["sampler"];
		encoders: "own" | "public";
		instruments: string | null;
	},
): ComparePlan {
	const { quick = false, size, steps, guidance, seeds } = options;
	const { model, sets, methods, table, sampler, encoders, instruments } = chosen;
	const counts = quick ? QUICK : FULL;
	const shortened = (method: ComparedMethod) => {
		const own = QUICK_STEPS[method];
		return { ...table[method], ...(quick && own !== undefined && { steps: own }) };
	};
	return {
		model,
		sets,
		methods,
		seeds: seeds ?? [1],
		settings: {
			pictures: options.pictures ?? counts.pictures,
			priorPictures: options.priorPictures ?? counts.priorPictures,
			size: size === undefined ? null : [size, size],
			sampler,
			steps: steps ?? (quick ? QUICK.samplingSteps : null),
			guidance: guidance ?? null,
			methods: Object.fromEntries(methods.map((method) => [method, shortened(method)])),
			encoders,
			instruments,
		},
	};
}

const VERBS = { prior: "painting the prior", train: "training", paint: "painting", evaluate: "measuring" } as const;

/** Which cell is being done, and how far each part of it is. */
class CellLine {
	private line: ProgressLine | null = null;
	private unit = "";

	constructor(private readonly enabled: boolean) {}

	show(event: CompareEvent): void {
		const { set, method, seed } = event.cell;
		if (event.kind === "cell") {
			this.clear();
			if (this.enabled)
				process.stderr.write(`cell ${event.index + 1} of ${event.total}: ${set}, ${method}, seed ${seed}\n`);
			return;
		}
		const { kind, done, total } = event.progress;
		if (done === 0) return;
		const unit = `  ${VERBS[kind]}`;
		if (unit !== this.unit) {
			this.clear();
			// Plain lines are for cells; their parts would be too many.
			this.line = new ProgressLine(this.enabled && process.stderr.isTTY, unit);
			this.unit = unit;
		}
		this.line?.update(done, total);
	}

	clear(): void {
		this.line?.clear();
		this.line = null;
		this.unit = "";
	}
}

function parseNames(value: string): string[] {
	const names = value.split(",").map((name) => name.trim());
	if (names.includes("")) throw new InvalidArgumentError("It must be names with commas between them.");
	return names;
}

function parseNumber(value: string): number {
	const number = Number(value);
	if (value.trim() !== "" && Number.isFinite(number)) return number;
	throw new InvalidArgumentError("It must be a number.");
}

const compareCommand: CommandModule = {
	computes: true,
	configure(command: Command) {
		command
			.argument(
				"[folders...]",
				"reference sets, each a folder of pictures with set.json; default: the twelve drawn ones",
			)
			.requiredOption("--out <folder>", "the comparison's folder; one that is there goes on")
			.option("--model <model>", "what all methods begin with (mini)")
			.option("--sets <names>", "some of the drawn sets, with commas between; practice is a thirteenth", parseNames)
			.option("--methods <names>", "with commas between (all of the paper's; dreambooth-lora besides)", parseNames)
			.option("--seeds <numbers>", "of training and painting, with commas between (1)", (value) =>
				parseNames(value).map(parseSeed),
			)
			.option(
				"--settings <table>",
				"settings of every method: mini, public (each one's own defaults), or a JSON file over those",
			)
			.option("--pictures <n>", "painted of each cell (40)", parseCount)
			.option("--prior-pictures <n>", "of each class, shared by the methods that keep one (100)", parseCount)
			.option("--size <pixels>", "side of the pictures (the model's own)", parseCount)
			.option("--steps <n>", "sampling steps of all (the model's own)", parseCount)
			.option("--guidance <g>", "of all (the model's own)", parseNumber)
			.option("--sampler <name>", "of all (the model's own)")
			.option("--encoders <folder>", "measure with public encoders from here, or from the Hub's cache")
			.option("--instruments <model>", "measure with this model's own classifier and encoders")
			.option("--public-encoders", "measure with public encoders although the model has its own")
			.option("--no-cache", "keep no features")
			.option("--quick", "two sets, few pictures, few steps: whether everything works, in minutes");
		addExample(
			command,
			"compare --model mini --out runs/comparison",
			"Interrupted, `compare --out runs/comparison` goes on. It writes table.md, figure.png and index.html; every cell keeps its run, its pictures and its metrics.",
		);
	},
	run: run as CommandModule["run"],
};
export default compareCommand;
