// `dreamdist export`: a distribution for other programs.
import type { EmbeddingLayout, FittedDistribution, PromptDistribution, PromptEncoder } from "@dreamdist/core";
import { type Command, InvalidArgumentError, Option } from "commander";
import { addExample, parseSeed } from "../common-options.js";
import type { CommandContext, CommandModule } from "../context.js";
import { type DistributionChoice, distributionFile, openDistribution } from "../distribution-path.js";
import { UsageError } from "../errors.js";
import { sourceName } from "../generate/source.js";
import { loadableModel } from "../model-path.js";
import { userPath } from "../paths.js";

const KINDS = ["conditioning", "npz", "embedding"] as const;

interface ExportArguments extends DistributionChoice {
	as?: (typeof KINDS)[number];
	out?: string;
	model?: string;
	seed: number;
	index: number;
	mean?: boolean;
	scale: number;
	layout: EmbeddingLayout;
	token?: string;
}

function parseIndex(value: string): number {
	if (/^\d{1,9}$/.test(value)) return Number(value);
	throw new InvalidArgumentError("It must be a whole number from 0 on.");
}

function parseScale(value: string): number {
	const number = Number(value);
	if (value.trim() !== "" && Number.isFinite(number) && number >= 0) return number;
	throw new InvalidArgumentError("It must be a number from 0 on.");
}

/** Other programs choose how to read a file by its ending. */
function checkEnding(out: string, kind: string, layout: EmbeddingLayout): void {
	const ending = kind === "npz" ? ".npz" : kind === "embedding" && layout === "a1111" ? ".pt" : ".safetensors";
	if (!out.toLowerCase().endsWith(ending))
		throw new UsageError(
			`--out must end in ${ending} for ${kind === "embedding" ? `an embedding in ${layout}'s layout` : kind}, not ${out}`,
		);
}

type Distribution = PromptDistribution | FittedDistribution;

/** Calls `use` with the model's text encoder, or with none where no model was given. */
async function withEncoder<T>(
	context: CommandContext<ExportArguments>,
	use: (encoder: PromptEncoder | null) => Promise<T>,
): Promise<T> {
	const { options, signal, directory } = context;
	if (options.model === undefined) return use(null);
	const [{ PromptEncoder }, { loadPipeline }] = await Promise.all([
		import("@dreamdist/core"),
		import("@dreamdist/models"),
	]);
	const { device, dtype, tf32 } = options;
	const pipe = await loadPipeline(await loadableModel(options.model, directory), { device, dtype, tf32, signal });
	const encoder = new PromptEncoder(pipe.device, pipe.textEncoder);
	try {
		return await use(encoder);
	} finally {
		encoder.dispose();
		pipe.dispose();
	}
}

async function writeFeatures(
	context: CommandContext<ExportArguments>,
	distribution: Distribution,
	name: string,
	out: string,
): Promise<readonly number[]> {
	const { seed, index, mean, scale } = context.options;
	const { FittedDistribution, writeConditioning } = await import("@dreamdist/core");
	return withEncoder(context, async (encoder) => {
		const gaussian =
			distribution instanceof FittedDistribution ? distribution.features : encoder && (await distribution.fit(encoder));
		if (!gaussian) throw new UsageError("the prompts have to be encoded for that: give the model with --model");
		const features = mean ? gaussian.mean : gaussian.sample(seed, index);
		const { length, width } = gaussian;
		const words = distribution instanceof FittedDistribution ? {} : { words: distribution.words };
		const { className, baseModel } = distribution;
		const drawn = mean ? { mean: true } : { seed, index, scale };
		await writeConditioning(
			out,
			{ features, length, width },
			{ distribution: name, ...drawn, ...words, ...(className !== null && { class: className }), baseModel },
		);
		return [length, width];
	});
}

async function run(context: CommandContext<ExportArguments>): Promise<number> {
	const { args, options, output, directory } = context;
	const { as: kind, layout } = options;
	if (kind === undefined) throw new UsageError(`export needs --as, one of ${KINDS.join(", ")}`);
	if (options.out === undefined) throw new UsageError("export needs --out FILE");
	checkEnding(options.out, kind, layout);
	const out = userPath(options.out, directory);
	const { FittedDistribution, loadDistribution, writeEmbedding, writeOfficialNpz } = await import("@dreamdist/core");
	const name = sourceName(userPath(String(args[0]), directory));
	// An .npz holds all classes; everything else is of one.
	const opened =
		kind === "npz" && options.class === undefined && options.prefix === undefined && options.suffix === undefined
			? await loadDistribution(distributionFile(String(args[0]), directory))
			: await openDistribution(String(args[0]), options, directory);
	const distribution = opened.scale(options.scale);
	let shape: readonly number[];
	if (kind === "conditioning") shape = await writeFeatures(context, distribution, name, out);
	else if (kind === "npz") {
		await withEncoder(context, (encoder) => writeOfficialNpz(out, distribution, encoder));
		shape = [distribution.classes?.length ?? 1];
	} else {
		if (distribution instanceof FittedDistribution)
			throw new UsageError("it holds fitted features without the learned vectors, so there is no embedding to write");
		const { vectors, width, settings } = distribution;
		const step = typeof settings.stepsTaken === "number" ? { step: settings.stepsTaken } : {};
		const token = options.token ?? (layout === "diffusers" ? `<${name}>` : name);
		await writeEmbedding(out, distribution.meanTokens, width, { layout, token, ...step });
		shape = [vectors, width];
	}
	output.result({ file: out, as: kind, shape }, ({ file }) => file);
	return 0;
}

const exportCommand: CommandModule = {
	computes: true,
	configure(command: Command) {
		command
			.argument("<distribution>", "distribution file, or run folder")
			.addOption(
				new Option(
					"--as <kind>",
					"conditioning: one prompt's features [77, d]; npz: means and deviations as the official code has them; embedding: the mean of the prompts' vectors for Textual Inversion",
				).choices(KINDS),
			)
			.option("--out <file>", "what to write: .safetensors, .npz, or .pt for the a1111 layout")
			.option("--model <model>", "whose text encoder encodes the prompts; needed for conditioning and npz")
			.option("--seed <n>", "of the prompt that is drawn", parseSeed, 0)
			.option("--index <n>", "which of the seed's prompts", parseIndex, 0)
			.option("--mean", "the mean prompt instead of a drawn one")
			.option("--scale <gamma>", "factor of the deviation", parseScale, 1)
			.option("--prefix <text>", "words before the learned vectors")
			.option("--suffix <text>", "words after them")
			.option("--class <name>", "which class of a distribution that learned several")
			.addOption(
				new Option(
					"--layout <name>",
					"of an embedding: diffusers' learned_embeds.safetensors, kohya's emb_params, or a1111's string_to_param (.pt)",
				)
					.choices(["diffusers", "kohya", "a1111"])
					.default("diffusers"),
			)
			.option("--token <word>", "what prompts call the embedding; default: the run's name");
		addExample(
			command,
			"export runs/cathedrals --as conditioning --model models/stable-diffusion-2-1 --seed 7 --out prompt.safetensors",
			"A Textual Inversion embedding: export runs/cathedrals --as embedding --out learned_embeds.safetensors",
		);
	},
	run: run as CommandModule["run"],
};
export default exportCommand;
