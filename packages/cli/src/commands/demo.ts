// `dreamdist demo`: what `npm run demo` shows.
import type { Command } from "commander";
import { addExample, parseCount, parseSeed } from "../common-options.js";
import type { CommandContext, CommandModule } from "../context.js";
import { formatDuration } from "../format.js";
import { userPath } from "../paths.js";
import { DEFAULT_SET } from "../world/reference-pictures.js";

interface DemoOptions {
	out: string;
	set: string;
	mixedWith: string;
	steps: number;
	seed: number;
	sampled: number;
	rows: number;
}

async function run(context: CommandContext): Promise<number> {
	const { output, signal, directory } = context;
	const options = context.options as CommandContext<DemoOptions>["options"];
	const { runDemo } = await import("../demo/demo.js");
	const result = await runDemo({
		...options,
		folder: userPath(options.out, directory),
		signal,
		notice: (text) => output.notice(text),
	});
	output.result(result, ({ page, pictures, seconds }) =>
		[
			`Learned in ${formatDuration(seconds.learning)}; ${pictures} pictures in ${formatDuration(seconds.painting)}.`,
			"",
			`Look at it:  ${page}`,
			`More of it:  npm run dd -- generate ${options.out}/run --count 8 --out more`,
			'By a text:   npm run dd -- generate --prompt "a chalk drawing of an owl by the sea at night"',
			"Another set: npm run dd -- train --set blackboard-zoo",
		].join("\n"),
	);
	return 0;
}

const demo: CommandModule = {
	computes: true,
	configure(command: Command) {
		command
			.option("--out <folder>", "folder for the page and everything it shows", "runs/demo")
			.option("--set <name>", "reference set to learn", DEFAULT_SET)
			.option("--mixed-with <name>", "reference set of the distribution it is mixed with", "blackboard-zoo")
			.option("--steps <count>", "steps of learning", parseCount, 300)
			.option("--sampled <count>", "pictures from as many sampled prompts", parseCount, 16)
			.option("--rows <count>", "rows of the other tables", parseCount, 5)
			.option("--seed <seed>", "seed of what is learned and painted", parseSeed, 1);
		addExample(command, "demo --set tipsy-robots --out runs/robots");
	},
	run,
};
export default demo;
