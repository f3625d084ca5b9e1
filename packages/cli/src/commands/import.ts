// `dreamdist import`: distributions and embeddings of other programs.
import { readFile } from "node:fs/promises";
import type { FittedDistribution, ImportOptions, ModelIdentity, PromptDistribution } from "@dreamdist/core";
import { type Command, Option } from "commander";
import { addExample } from "../common-options.js";
import type { CommandContext, CommandModule } from "../context.js";
import { CommandError, UsageError } from "../errors.js";
import { resolveModel } from "../model-path.js";
import { userPath } from "../paths.js";

interface ImportArguments {
	out?: string;
	classes?: string;
	classPosition?: "end" | "middle" | "front";
	prefix?: string;
	suffix?: string;
	model?: string;
}

/** One name per line. */
async function readNames(path: string): Promise<string[]> {
	try {
		const lines = (await readFile(path, "utf8")).split(/\r?\n/).map((line) => line.trim());
		while (lines.at(-1) === "") lines.pop();
		return lines;
	} catch (error) {
		throw new CommandError(`The class names ${path} can't be read (${(error as NodeJS.ErrnoException).code}).`);
	}
}

/** The model's identity, once its text encoder is known to fit. */
async function identity(
	context: CommandContext<ImportArguments>,
	model: string,
	distribution: PromptDistribution | FittedDistribution,
): Promise<ModelIdentity> {
	const { loadPipeline } = await import("@dreamdist/models");
	const { device, dtype } = context.options;
	const path = await resolveModel(model, context.directory);
	const pipe = await loadPipeline(path, { device, dtype, signal: context.signal });
	try {
		const { width } = pipe.textEncoder;
		if (width !== distribution.width)
			throw new CommandError(
				`The file's vectors have width ${distribution.width}, but the text encoder of ${model} has width ${width}; they belong to another model.`,
			);
		return pipe.identity;
	} finally {
		pipe.dispose();
	}
}

async function run(context: CommandContext<ImportArguments>): Promise<number> {
	const { args, options, output, directory } = context;
	const { FittedDistribution, importDistribution } = await import("@dreamdist/core");
	if (options.out === undefined) throw new UsageError("import needs --out FILE.safetensors");
	if (!options.out.toLowerCase().endsWith(".safetensors"))
		throw new UsageError(`--out must end in .safetensors, not ${options.out}`);
	const path = userPath(String(args[0]), directory);
	const out = userPath(options.out, directory);
	const given: ImportOptions = {
		...(options.classes !== undefined && { classes: await readNames(userPath(options.classes, directory)) }),
		...(options.classPosition !== undefined && { classPosition: options.classPosition }),
		...(options.prefix !== undefined && { prefix: options.prefix }),
		...(options.suffix !== undefined && { suffix: options.suffix }),
	};
	let imported = await importDistribution(path, given);
	if (options.model !== undefined) {
		const baseModel = await identity(context, options.model, imported.distribution);
		imported = await importDistribution(path, { ...given, baseModel });
	}
	const { form, distribution } = imported;
	await distribution.save(out);
	const { width, classes } = distribution;
	const size =
		distribution instanceof FittedDistribution
			? { positions: distribution.length }
			: { prompts: distribution.prompts, vectors: distribution.vectors };
	output.result({ file: out, form, ...size, width, classes: classes?.length ?? null }, (result) => {
		const what =
			"prompts" in result
				? `${result.prompts} prompt${result.prompts === 1 ? "" : "s"} of ${result.vectors} vectors`
				: `fitted features of ${result.positions} positions`;
		return `${form}: ${what}, width ${width}${classes ? `, ${classes.length} classes` : ""}\n${out}`;
	});
	return 0;
}

const importCommand: CommandModule = {
	configure(command: Command) {
		command
			.argument("<file>", "the official code's .pt or .npz; a Textual Inversion embedding (.pt, .bin, .safetensors)")
			.option("--out <file>", "distribution to write (.safetensors)")
			.option("--classes <file>", "names of its classes, one per line in their order")
			.addOption(
				new Option("--class-position <where>", "where the class name stood").choices(["end", "middle", "front"]),
			)
			.option("--prefix <text>", "words that stood before the vectors; the file does not say")
			.option("--suffix <text>", "words that stood after them")
			.option("--model <model>", "the model it was learned with: checked, and noted in the distribution");
		addExample(
			command,
			"import final-1000.pt --out cathedrals.safetensors --model models/stable-diffusion-2-1",
			"Files of torch.save are read as data: no code in them is ever executed, and what is not a tensor is refused by name.",
		);
	},
	run: run as CommandModule["run"],
};
export default importCommand;
