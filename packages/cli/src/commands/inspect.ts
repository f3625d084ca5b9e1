// `dreamdist inspect`: what a distribution or a run says, and what a model is.
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { addExample } from "../common-options.js";
import type { CommandContext, CommandModule } from "../context.js";
import { UsageError } from "../errors.js";
import { describeDistribution, type InspectOptions, renderDistribution } from "../inspect/distribution.js";
import { describeModel, renderModel } from "../inspect/model.js";
import { resolveModel } from "../model-path.js";
import { userPath } from "../paths.js";

const MODEL_MARKS = ["model_index.json", "unet", "text_encoder"];
/** A tensor of every single-file model. */
const SINGLE_FILE_PREFIX = "model.diffusion_model.";

/** A distribution's file has few tensors; a model's header has a UNet's. */
async function isModelFile(path: string): Promise<boolean> {
	const { openSafetensors } = await import("@dreamdist/core");
	const file = await openSafetensors(path);
	await file.close();
	return [...file.tensors.keys()].some((name) => name.startsWith(SINGLE_FILE_PREFIX));
}

async function run(context: CommandContext<Omit<InspectOptions, keyof CommandContext["options"]>>): Promise<number> {
	const { args, options, output, directory } = context;
	const name = String(args[0]);
	const given = userPath(name, directory);
	// What is not there as a path may be the name of a model that was pulled.
	const path = existsSync(given) || /[\\/.]/.test(name.replace("/", "")) ? given : await resolveModel(name, directory);
	const isFolder = existsSync(path) && statSync(path).isDirectory();
	const isModel = isFolder
		? MODEL_MARKS.some((mark) => existsSync(join(path, mark)))
		: path.endsWith(".safetensors") && existsSync(path) && (await isModelFile(path));
	if (!isModel) {
		output.result(await describeDistribution(path, isFolder, options, context), renderDistribution);
		return 0;
	}
	for (const flag of ["model", "class"] as const)
		if (options[flag] !== undefined)
			throw new UsageError(`${path} is a model, so --${flag} ${options[flag]} does not apply`);
	output.result(await describeModel(path, options.dtype), renderModel);
	return 0;
}

const inspect: CommandModule = {
	configure(command: Command) {
		command
			.argument("<what>", "run folder, distribution file, or model (folder, .safetensors file, name of a pulled one)")
			.option("--model <model>", "look at a distribution through this model's text encoder")
			.option("--class <name>", "one of its classes");
		addExample(
			command,
			"inspect runs/cathedrals --model models/stable-diffusion-2-1",
			"What a model is: inspect models/stable-diffusion-2-1",
		);
	},
	run: run as CommandModule["run"],
};
export default inspect;
