// `dreamdist engine-demo`: what `npm run demo` shows where the embedded model has no weights.
import type { Command } from "commander";
import { addExample, parseCount, parsePositive, parseSeed } from "../common-options.js";
import type { CommandContext, CommandModule } from "../context.js";
import { CommandError } from "../errors.js";
import { userPath } from "../paths.js";

interface DemoOptions {
	out: string;
	steps: number;
	targetLoss: number;
	seed: number;
}

const MEBIBYTE = 2 ** 20;

async function run(context: CommandContext): Promise<number> {
	const { output, signal, directory } = context;
	const options = context.options as CommandContext<DemoOptions>["options"];
	if (options.dtype !== undefined && options.dtype !== "f32") {
		throw new CommandError(
			`The demo trains all of its weights, which are kept in f32; --dtype ${options.dtype} does not apply.`,
		);
	}
	const { runDemo } = await import("../engine-demo/demo.js");
	const result = await runDemo({
		...options,
		folder: userPath(options.out, directory),
		signal,
		notice: (text) => output.notice(text),
	});
	output.result(result, ({ loss, targetLoss, reached, accuracy, millisecondsPerStep, kernelCalls, memory, folder }) =>
		[
			`Loss ${loss.toFixed(4)} after ${result.steps} steps, ${reached ? "below" : "above"} the ${targetLoss} aimed at; ${(100 * accuracy).toFixed(1)} % of new pictures are told right.`,
			`A step is one native call of ${kernelCalls} kernels and took ${millisecondsPerStep.toFixed(2)} ms; planned memory ${(memory.peak / MEBIBYTE).toFixed(1)} MiB.`,
			`Written to ${folder}`,
		].join("\n"),
	);
	return result.reached ? 0 : 1;
}

const engineDemo: CommandModule = {
	computes: true,
	configure(command: Command) {
		command
			.option("--out <folder>", "folder for the run's files", "runs/demo")
			.option("--steps <count>", "training steps", parseCount, 400)
			.option("--target-loss <loss>", "mean loss of the last steps to reach", parsePositive, 0.1)
			.option("--seed <seed>", "seed of weights and pictures", parseSeed, 1);
		addExample(command, "engine-demo --steps 500", "The exit code is 1 where the loss is not reached.");
	},
	run,
};
export default engineDemo;
