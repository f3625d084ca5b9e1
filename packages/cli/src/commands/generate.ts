// `dreamdist generate`: text to pictures.
import { join } from "node:path";
import type { FrozenModel, GenerateOptions, ProgramMemory } from "@dreamdist/core";
import type { TunedModel } from "@dreamdist/models";
import { type Command, InvalidArgumentError, Option } from "commander";
import { addExample, parseCount, parseSeed } from "../common-options.js";
import type { CommandContext, CommandModule } from "../context.js";
import { UsageError } from "../errors.js";
import { PictureSheet } from "../generate/sheet.js";
import { findTunedSources, openSources, type SourceOptions } from "../generate/source.js";
import { parseSweep } from "../generate/sweep.js";
import { DEFAULT_MODEL, loadableModel } from "../model-path.js";
import { userPath, writableFolder } from "../paths.js";
import { ProgressLine } from "../progress-line.js";

interface GenerateArguments extends SourceOptions {
	model?: string;
	perPrompt: number;
	fixedOmega?: boolean;
	negative: string;
	steps?: number;
	guidance?: number;
	guidanceRescale: number;
	sampler?: string;
	karras?: boolean;
	spacing?: string;
	eta?: number;
	size?: { width: number; height: number };
	count: number;
	batch?: number;
	seed: number;
	out: string;
}

function parseSize(value: string): { width: number; height: number } {
	const match = /^(\d+)(?:x(\d+))?$/i.exec(value);
	if (!match)
		throw new InvalidArgumentError("A size is WIDTHxHEIGHT in pixels, such as 512x768, or one number for a square.");
	return { width: Number(match[1]), height: Number(match[2] ?? match[1]) };
}

function parseNumber(value: string): number {
	const number = Number(value);
	if (value.trim() !== "" && Number.isFinite(number)) return number;
	throw new InvalidArgumentError("It must be a number.");
}

const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(2)} GiB`;

function describeMemory({ peak, weights, state, arena }: ProgramMemory, limit: number): string {
	return `Memory planned: ${gib(peak)} (weights ${gib(weights)}, state ${gib(state)}, arena ${gib(arena)}) of ${gib(limit)} that may be used.`;
}

async function run(context: CommandContext<GenerateArguments>): Promise<number> {
	const { options, output, signal, directory } = context;
	const names = context.args[0] as string[];
	const tuned = await findTunedSources(names, options, directory);
	const columns = tuned
		? [{ label: "", suffix: "", source: tuned.prompt, recipe: { prompt: tuned.prompt, learned: names } }]
		: await openSources(names, options, directory);
	const modelNamed = tuned?.model ?? options.model ?? DEFAULT_MODEL;
	const folder = userPath(options.out, directory);
	await writableFolder(folder);
	const [
		{ generateSweep, promptKind, SAMPLER_NAMES, samplingOf, TIMESTEP_SPACINGS, writePng },
		{ loadPipeline, openTuned },
	] = await Promise.all([import("@dreamdist/core"), import("@dreamdist/models")]);
	const sampler = oneOf("--sampler", options.sampler, SAMPLER_NAMES);
	const spacing = oneOf("--spacing", options.spacing, TIMESTEP_SPACINGS);
	const { guidanceRescale, negative, seed, count } = options;
	const prompt = tuned?.prompt ?? options.prompt;
	const line = new ProgressLine(!options.quiet && !options.json, "step");
	const pipe = await loadPipeline(await loadableModel(modelNamed, directory), {
		device: options.device,
		dtype: options.dtype,
		tf32: options.tf32,
		signal,
		onProgress: (event) => {
			if (event.kind === "note") output.notice(event.message);
		},
	});
	let changed: TunedModel | null = null;
	try {
		if (tuned && tuned.files.length > 0) changed = await openTuned(pipe, tuned.files, tuned.strength);
		const model: FrozenModel = changed ?? pipe;
		if (changed && changed.words.length > 0 && !changed.words.some((word) => prompt?.includes(word)))
			output.notice(`The prompt has none of the learned words (${changed.words.join(", ")}).`);
		const sources = columns.map(({ source }) => source);
		const { steps, guidance } = samplingOf(pipe, options, promptKind(sources));
		output.notice(`${pipe.identity.id} on ${pipe.device}`);
		const cut = prompt === undefined ? null : model.textEncoder.tokenizer.encode(prompt).truncated;
		if (cut) output.notice(`The prompt is too long; this was cut off: "${cut}"`);
		const scheduler = pipe.schedulerWith({
			...(sampler !== undefined && { sampler }),
			...(spacing !== undefined && { timestepSpacing: spacing }),
			...(options.karras && { useKarrasSigmas: true }),
		});
		const total = count * columns.length;
		const batch = options.batch ?? Math.min(total, 4);
		const settings: GenerateOptions = {
			count,
			steps,
			guidance,
			guidanceRescale,
			negative,
			seed,
			signal,
			releaseTextEncoder: true,
			batch,
			perPrompt: options.perPrompt,
			fixedOmega: options.fixedOmega ?? false,
			...(options.size && { size: [options.size.width, options.size.height] as const }),
			...(options.eta !== undefined && { eta: options.eta }),
			scheduler,
			onPlan: (memory) => {
				output.notice(describeMemory(memory, pipe.device.memoryLimit));
				line.begin();
			},
			onNote: (message) => {
				line.clear();
				output.notice(message);
			},
			onStep: ({ picture, step, steps: perBatch }) => {
				const batches = Math.ceil(total / batch);
				line.update(Math.floor(picture / batch) * perBatch + step, batches * perBatch);
			},
		};
		const digits = Math.max(4, String(count - 1).length);
		const sheet = new PictureSheet(columns.map(({ label }) => label));
		const files: string[] = [];
		for await (const picture of generateSweep(model, sources, settings)) {
			const { suffix, recipe: sourceRecipe } = columns[picture.column]!;
			const file = join(folder, `seed${seed}-${String(picture.index).padStart(digits, "0")}${suffix}.png`);
			const recipe = {
				dreamdist: "generate",
				model: modelNamed,
				...sourceRecipe,
				...(names.length > 0 && !tuned && { sampledPrompt: picture.prompt }),
				negative,
				seed,
				index: picture.index,
				width: picture.image.width,
				height: picture.image.height,
				steps,
				guidance,
				guidanceRescale,
				sampler: scheduler.sampler,
				...(spacing !== undefined && { spacing }),
				...(options.karras && { karras: true }),
				...(options.eta !== undefined && { eta: options.eta }),
				device: String(pipe.device),
			};
			await writePng(file, picture.image, { recipe });
			files.push(file);
			await sheet.add(picture);
		}
		line.clear();
		const sheetFile = total > 1 ? join(folder, `seed${seed}-${options.sweep?.kind ?? "sheet"}.png`) : undefined;
		if (sheetFile) {
			const left = await sheet.write(sheetFile, prompt ?? names.join(", "));
			if (left > 0) output.notice(`The sheet has the first ${total - left} pictures; ${left} more are in the folder.`);
		}
		output.result({ files, ...(sheetFile && { sheet: sheetFile }) }, () =>
			[...files, ...(sheetFile ? [sheetFile] : [])].join("\n"),
		);
		return 0;
	} finally {
		line.clear();
		changed?.dispose();
		pipe.dispose();
	}
}

function oneOf<T extends string>(flag: string, value: string | undefined, choices: readonly T[]): T | undefined {
	const found = choices.find((choice) => choice === value);
	if (value !== undefined && found === undefined)
		throw new UsageError(`${flag} ${value} does not exist; choose one of ${choices.join(", ")}`);
	return found;
}

const generateCommand: CommandModule = {
	computes: true,
	configure(command: Command) {
		command
			.argument(
				"[distributions...]",
				"learned distributions, PATH[:weight[:gamma]]: a run folder or its .safetensors file; or a run of another method, LoRA weights, an embedding of Textual Inversion, Custom Diffusion's weights, PATH[:strength]",
			)
			.option("--prompt <text>", "what to paint, instead of a distribution; or with what another method has learned")
			.option("--scale <gamma>", "factor of the distribution's spread", parseNumber, 1)
			.option("--mean", "the mean prompt alone: no spread")
			.option("--prefix <text>", "words before the learned ones: all prompts are encoded anew with them")
			.option("--suffix <text>", "words after the learned ones")
			.option("--class <name>", "which class of a distribution that learned several")
			.addOption(
				new Option("--mix <rule>", "how spreads are mixed: the paper's Eq. 7, or as the official code does")
					.choices(["paper", "official"])
					.default("paper"),
			)
			.option(
				"--sweep <what=values>",
				"a sheet along whose rows only one thing changes: scale=0,0.5,1,1.5,2 or mix=0:1:0.25 (the last distribution's weight)",
				parseSweep,
			)
			.addOption(
				new Option("--space <space>", "draw prompts among text features, or among token embeddings and encode each")
					.choices(["features", "tokens"])
					.default("features"),
			)
			.option("--per-prompt <n>", "pictures for each sampled prompt", parseCount, 1)
			.option("--fixed-omega", "the same draw for all pictures and calls, so that only what you change changes")
			.option(
				"--model <model>",
				"mini, which is embedded; a folder in diffusers' layout, a .safetensors file, or a model from the Hub that was pulled (mini, or what was learned with)",
			)
			.option("--negative <text>", "what to steer away from", "")
			.option("--steps <n>", "sampling steps; default: the model's own, or 50", parseCount)
			.option(
				"--guidance <scale>",
				"classifier-free guidance; 1 is none; default: the model's own (mini's is 2, for what was learned 4), or 7.5",
				parseNumber,
			)
			.option("--guidance-rescale <phi>", "from 0 (off) to 1: bring the spread back to the unguided", parseNumber, 0)
			.option(
				"--sampler <name>",
				"ddim, ddpm, pndm, euler, euler_ancestral, dpmsolver++2m, dpmsolver++2m_karras or unipc; default: the model's own",
			)
			.option("--spacing <name>", "leading, linspace or trailing timesteps")
			.option("--karras", "Karras' noise levels, for samplers that have them")
			.option("--eta <eta>", "ddim: noise in every step, from 0 to 1", parseNumber)
			.option("--size <WxH>", "pixels; default: what the model was trained at", parseSize)
			.option("--count <n>", "pictures to make; with --sweep its rows", parseCount, 1)
			.option("--batch <n>", "pictures at once; default: the lesser of --count and 4", parseCount)
			.option("--seed <n>", "a seed gives the same pictures whatever the batch", parseSeed, 0)
			.option("--out <folder>", "where the pictures go", "pictures");
		addExample(
			command,
			'generate --prompt "a chalk drawing of an owl by the sea at night" --count 4 --out owls',
			'With another model: generate --model models/stable-diffusion-2-1 --prompt "a lighthouse at night". A learned distribution: generate RUN --suffix "at night" --scale 1.2. Two mixed: generate RUN1:0.7 RUN2:0.3.\n' +
				"Each picture carries its recipe (read it with `exiftool` or any PNG reader); several also make a contact sheet.",
		);
	},
	run: run as CommandModule["run"],
};
export default generateCommand;
