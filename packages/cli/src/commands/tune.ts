// `dreamdist tune`: measures how a card computes the shapes of a model's programs fastest.
import type { FrozenModel, TuneResult } from "@dreamdist/core";
import { type Command, InvalidArgumentError, Option } from "commander";
import { addExample, parseCount } from "../common-options.js";
import type { CommandContext, CommandModule } from "../context.js";
import { DEFAULT_MODEL, loadableModel } from "../model-path.js";

const WORK = ["train", "generate"] as const;
type Work = (typeof WORK)[number];

interface TuneArguments {
	model: string;
	for: Work[];
	size?: [number, number];
	prompts: number;
	tokens: number;
	samples: number;
	batch: number;
	again?: boolean;
}

/** What one command has measured, as --json prints it. */
export interface TuneReport {
	readonly device: string;
	/** Null where nothing is kept, as nothing can be chosen. */
	readonly file: string | null;
	/** Calls of the programs that can be computed in several ways. */
	readonly calls: number;
	readonly measured: readonly TuneResult[];
	/** Microseconds of all calls by the kernels' own estimates, and as they are computed from now on. */
	readonly before: number;
	readonly after: number;
}

function parseSize(value: string): [number, number] {
	const match = /^(\d+)(?:x(\d+))?$/i.exec(value);
	if (match) return [Number(match[1]), Number(match[2] ?? match[1])];
	throw new InvalidArgumentError("A size is one number for a square, or WIDTHxHEIGHT in pixels.");
}

function parseWork(value: string): Work[] {
	const names = value.split(",").map((name) => name.trim());
	const bad = names.find((name) => !WORK.includes(name as Work));
	if (bad === undefined) return names as Work[];
	throw new InvalidArgumentError(`It takes ${WORK.join(" and ")}, separated by commas.`);
}

/** Compiles the programs of a step of learning and of encoding its pictures. */
async function compileTraining(model: FrozenModel, size: [number, number], options: TuneArguments): Promise<void> {
	const { checkSize, compileLearningStep, TokenState } = await import("@dreamdist/core");
	const { device, textEncoder, denoiser, autoencoder } = model;
	checkSize(model, size);
	const { prompts, tokens: vectors, samples, batch } = options;
	const shape = [1, prompts, vectors, textEncoder.width] as const;
	const tokens = new Float32Array(shape.reduce((a, b) => a * b));
	const state = await TokenState.create(device, shape, tokens, { classes: 1, rows: null, accumulate: 1 });
	const latents = [size[1] / autoencoder.factor, size[0] / autoencoder.factor, denoiser.latentChannels] as const;
	try {
		const step = await compileLearningStep(device, { textEncoder, denoiser }, state, {
			batch,
			samples,
			encodedRows: 1,
			latents,
			orthogonal: "paper",
			randomness: "seeded",
			scalingFactor: autoencoder.scale,
		});
		step.dispose();
	} finally {
		state.dispose();
	}
}

const time = (microseconds: number): string =>
	microseconds < 10_000 ? `${microseconds.toFixed(1)} µs` : `${(microseconds / 1000).toFixed(1)} ms`;

const line = ({ kernel, label, choice, microseconds, estimated }: TuneResult): string =>
	choice === null
		? `${kernel}  ${label}: the kernel's own estimate, ${time(estimated)}`
		: `${kernel}  ${label}: ${choice}, ${time(microseconds)} instead of ${time(estimated)}`;

async function run(context: CommandContext<TuneArguments>): Promise<number> {
	const { options, output, signal, directory } = context;
	const { defaultSize, openDevice, PictureSampler, tunableCalls, tune } = await import("@dreamdist/core");
	const { loadPipeline } = await import("@dreamdist/models");
	const tf32 = options.tf32 ?? false;
	// A card computes in the type that weights are held in.
	const device = await openDevice(
		options.device,
		options.device.startsWith("cuda") ? { activations: options.dtype, tf32 } : { tf32 },
	);
	try {
		if (device.kind === "cpu") {
			const report: TuneReport = { device: String(device), file: null, calls: 0, measured: [], before: 0, after: 0 };
			output.result(
				report,
				() => `There is nothing to tune on ${device.kind}: its kernels have one way to compute each shape.`,
			);
			return 0;
		}
		output.notice(`Tuning ${device}`);
		const pipe = await loadPipeline(await loadableModel(options.model, directory), {
			device,
			dtype: options.dtype,
			signal,
		});
		const size = options.size ?? defaultSize(pipe);
		const calls = await tunableCalls(device, async () => {
			if (options.for.includes("train")) await compileTraining(pipe, size, options);
			if (options.for.includes("generate"))
				(await PictureSampler.create(pipe, { size, batch: options.batch }, signal)).dispose();
		});
		// What is measured has weights of its own, made of noise.
		device.releaseUnusedWeights();
		output.notice(`${calls.length} shapes of ${size.join("×")} pixels can be computed in several ways.`);
		const measured = await tune(device, calls, {
			signal,
			again: options.again ?? false,
			onResult: (result, done, total) => output.notice(`${done}/${total}  ${line(result)}`),
			onSkip: (label, reason) => output.notice(`${label}: left out, as ${reason}`),
		});
		let [before, after] = [0, 0];
		for (const { shape, uses } of calls) {
			const known = device.tuning.of(shape);
			before += uses * (known?.estimated ?? 0);
			after += uses * (known?.microseconds ?? 0);
		}
		const report: TuneReport = {
			device: String(device),
			file: device.tuning.file,
			calls: calls.length,
			measured,
			before,
			after,
		};
		output.result(report, ({ file }) => {
			const known = calls.length - measured.length;
			const skipped = known > 0 ? ` (${known} known or left out)` : "";
			return `${measured.length} shapes measured${skipped}: all calls together take ${time(after)} instead of ${time(before)}.${file === null ? " Nothing is kept: DD_TUNING names no folder." : `\n${file}`}`;
		});
		pipe.dispose();
		return 0;
	} finally {
		device.dispose();
	}
}

const tuneCommand: CommandModule = {
	computes: true,
	configure(command: Command) {
		command
			.option("--model <model>", "the model whose shapes are measured", DEFAULT_MODEL)
			.addOption(
				new Option("--for <work>", "whose shapes: train, generate, or both")
					.argParser(parseWork)
					.default([...WORK], "train,generate"),
			)
			.option("--size <pixels>", "side of the pictures, or WIDTHxHEIGHT (the model's own)", parseSize)
			.option("--prompts <K>", "train: prompts to learn", parseCount, 32)
			.option("--tokens <M>", "train: learnable vectors per prompt", parseCount, 4)
			.option("--samples <S>", "train: prompts sampled per picture", parseCount, 4)
			.option("--batch <B>", "pictures at once", parseCount, 1)
			.option("--again", "measure what is known already, too");
		addExample(
			command,
			"tune --model stabilityai/stable-diffusion-2-1 --size 768 --device cuda",
			"What is fastest is kept by card in dreamdist/tuning of the user's cache (DD_TUNING names another folder), and\n" +
				"every program compiled for such a card uses it. Results differ by rounding only. Deleting the file undoes it.",
		);
	},
	run: run as CommandModule["run"],
};
export default tuneCommand;
