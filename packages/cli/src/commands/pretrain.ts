// `dreamdist pretrain`: trains the networks of a small text-to-image model from nothing, by a recipe.
import type { PretrainStep, StageName } from "@dreamdist/models";
import { type Command, Option } from "commander";
import { addExample, parseCount } from "../common-options.js";
import type { CommandContext, CommandModule } from "../context.js";
import { formatBytes, formatDuration } from "../format.js";
import { userPath } from "../paths.js";

interface PretrainArguments {
	recipe: string;
	stage: StageName;
	out: string;
	resume: boolean;
	changeSettings: boolean;
	steps?: number;
	from?: string;
	drawingThreads: number;
}

/** The names of `STAGES`, which help must list without loading the models. */
const NAMES = ["classifier", "vae", "clip", "unet"];

/** Seconds between lines of progress. */
const INTERVAL = 10;

function parseThreads(value: string): number {
	return value === "0" ? 0 : parseCount(value);
}

function figures(evaluation: Readonly<Record<string, number>>): string {
	return Object.entries(evaluation)
		.map(([name, value]) => `${name} ${value.toFixed(4)}`)
		.join("  ");
}

/** Says now and then how far training is. */
class Progress {
	private said = performance.now();
	private steps = 0;

	constructor(
		private readonly last: number,
		private readonly batch: number,
		private readonly say: (line: string) => void,
	) {}

	update({ step, loss, learningRate, evaluation }: PretrainStep): void {
		this.steps++;
		const elapsed = (performance.now() - this.said) / 1000;
		if (elapsed > INTERVAL || step === this.last || evaluation) {
			const rate = this.steps / elapsed;
			const left = step < this.last ? `, ${formatDuration((this.last - step) / rate)} left` : "";
			this.say(
				`step ${step}/${this.last}  loss ${loss.toFixed(4)}  lr ${learningRate.toPrecision(3)}  ${(rate * this.batch).toPrecision(3)} pictures/s${left}`,
			);
			this.said = performance.now();
			this.steps = 0;
		}
		if (evaluation) this.say(`  held out: ${figures(evaluation)}`);
	}
}

async function run(context: CommandContext): Promise<number> {
	const { output, signal, directory } = context;
	const options = context.options as CommandContext<PretrainArguments>["options"];
	const [{ openDevice }, { pretrain, readRecipe }] = await Promise.all([
		import("@dreamdist/core"),
		import("@dreamdist/models"),
	]);
	const recipe = await readRecipe(userPath(options.recipe, directory));
	const out = userPath(options.out, directory);
	const device = await openDevice(options.device, { tf32: options.tf32 ?? false });
	const started = performance.now();
	try {
		let progress: Progress | null = null;
		let stepsNow = 0;
		let last: PretrainStep | null = null;
		let evaluation: PretrainStep["evaluation"] = null;
		const steps = pretrain({
			recipe,
			stage: options.stage,
			out,
			device,
			resume: options.resume,
			changeSettings: options.changeSettings,
			signal,
			drawingThreads: options.drawingThreads,
			...(options.steps !== undefined && { until: options.steps }),
			...(options.from !== undefined && { from: userPath(options.from, directory) }),
			onPool: (done, total) => output.notice(`scenes    ${done} of ${total} drawn and encoded`),
			onPlan: (plan) => {
				output.notice(`recipe    ${recipe.name}, stage ${options.stage}, on ${device}`);
				output.notice(`weights   ${(plan.parameters / 1e6).toFixed(2)} million`);
				output.notice(`memory    ${formatBytes(plan.plannedBytes)} planned of ${formatBytes(device.memoryLimit)}`);
				if (plan.startStep >= plan.steps) output.notice(`All ${plan.steps} steps were taken.`);
				else output.notice(`steps     ${plan.startStep + 1} to ${plan.steps}, ${plan.batch} pictures each`);
				progress = new Progress(plan.steps, plan.batch, (line) => output.notice(line));
			},
		});
		for await (const step of steps) {
			stepsNow++;
			last = step;
			evaluation = step.evaluation ?? evaluation;
			progress!.update(step);
		}
		const result = {
			out,
			stage: options.stage,
			step: last?.step ?? null,
			stepsNow,
			loss: last?.loss ?? null,
			evaluation,
			seconds: (performance.now() - started) / 1000,
		};
		output.result(result, ({ seconds }) => `${stepsNow} steps in ${formatDuration(seconds)}\n${out}`);
		return 0;
	} finally {
		device.dispose();
	}
}

const pretrain: CommandModule = {
	computes: true,
	configure(command: Command) {
		command
			.requiredOption("--recipe <file>", "networks, data and settings, as JSON")
			.addOption(new Option("--stage <name>", "what to train").choices(NAMES).makeOptionMandatory())
			.requiredOption("--out <folder>", "model folder to fill; the run is kept in its training/<stage>")
			.option("--resume", "go on from the last checkpoint, if there is one", false)
			.option("--change-settings", "resume although the recipe's settings of the stage have changed since", false)
			.option("--steps <n>", "stop after this step of the recipe's, to be resumed later", parseCount)
			.option("--from <model>", "start from this model folder's weights, with fresh moments")
			.option("--drawing-threads <n>", "threads that draw the pictures", parseThreads, 1);
		addExample(
			command,
			"pretrain --recipe packages/models/recipes/mini.json --stage vae --out models/mini",
			"The stages are classifier, vae and clip in any order, then unet, which needs vae and clip. Ctrl-C writes a checkpoint; the same command\nwith --resume goes on from it.",
		);
	},
	run,
};
export default pretrain;
