// `dreamdist init`: a model folder with random weights, for tests and benchmarks without a download.
import type { DefaultConfigName } from "@dreamdist/models";
import { type Command, Option } from "commander";
import { addExample, parseSeed } from "../common-options.js";
import type { CommandContext, CommandModule } from "../context.js";
import { userPath } from "../paths.js";

interface InitOptions {
	config: DefaultConfigName;
	seed: number;
	tokenizer?: string;
}

/** The names of `INIT_CONFIGS`, which help must list without loading the models. */
const CONFIGS = ["sd21", "sd21-base", "sd15", "tiny"];

async function run(context: CommandContext): Promise<number> {
	const { args, output, signal, directory } = context;
	const options = context.options as CommandContext<InitOptions>["options"];
	const { openDevice } = await import("@dreamdist/core");
	const { initModel } = await import("@dreamdist/models");
	const folder = userPath(String(args[0]), directory);
	const { config, seed, dtype = "f16" } = options;
	const device = await openDevice(options.device);
	try {
		let announced = "";
		const parameters = await initModel(folder, {
			config,
			seed,
			dtype,
			device,
			signal,
			tokenizer: options.tokenizer === undefined ? undefined : userPath(options.tokenizer, directory),
			onProgress: ({ component, done, total }) => {
				if (component === announced) return;
				announced = component;
				output.notice(`writing ${component} (${Math.round((100 * done) / total)} % done)`);
			},
		});
		output.result({ folder, config, seed, dtype, parameters }, (result) => result.folder);
		return 0;
	} finally {
		device.dispose();
	}
}

const init: CommandModule = {
	configure(command: Command) {
		command
			.argument("<folder>", "folder to write; new or empty")
			.addOption(new Option("--config <name>", "which model's architecture").choices(CONFIGS).default("sd21"))
			.option("--seed <seed>", "seed of the weights", parseSeed, 0)
			.option("--tokenizer <folder>", "copy this tokenizer; without it, one that knows bytes only is written");
		addExample(
			command,
			"init models/random --config tiny --seed 1",
			"Weights are normal with deviation 1/√fan-in, in f16 unless --dtype says otherwise. Pictures made with such a\n" +
				"model are noise; its speed and memory are those of the real one.",
		);
	},
	run,
};
export default init;
