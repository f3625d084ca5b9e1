// `train --method`: the methods that the paper is compared with.
import { join } from "node:path";
import type { FinetuneMethod, Pipeline } from "@dreamdist/models";
import type { Job } from "../commands/train.js";
import type { CommandContext } from "../context.js";
import { UsageError } from "../errors.js";
import { ProgressLine } from "../progress-line.js";
import type { TrainArguments } from "./options.js";
import { finetunePlanLines, formatDuration, StepLine } from "./report.js";

/** Trains, and says how far it is. */
export async function runFinetuning(job: Job, pipe: Pipeline, context: CommandContext<TrainArguments>): Promise<void> {
	const { options, output, signal } = context;
	const { finetune, METHOD_LABELS } = await import("@dreamdist/models");
	const method = job.method as FinetuneMethod;
	const shown = !options.quiet && !options.json;
	const line = new StepLine(shown);
	const painting = new ProgressLine(shown, "picture of the prior");
	const started = performance.now();
	let steps = 0;
	let startStep = 0;
	const { checkpointEvery, keep, sampleEvery, validationPrompts, tensorboard } = job.reporting;
	const run = finetune(pipe, method, job.images, job.settings as never, {
		out: job.out,
		resume: job.resume,
		priorFolder: job.prior,
		checkpointEvery,
		keep,
		sampleEvery,
		validationPrompts,
		tensorboard,
		signal,
		onPrior: (done, count) => {
			if (done > 0 && done < count) painting.update(done, count);
			if (done >= count) painting.clear();
			output.event("prior", { done, count });
		},
		onPlan: (plan) => {
			steps = plan.settings.steps;
			startStep = plan.startStep;
			for (const text of finetunePlanLines(plan, METHOD_LABELS[method], job.model, pipe.device)) output.notice(text);
			output.event("plan", { model: job.model, device: pipe.device.toString(), ...plan });
			if (startStep >= steps) output.notice(`The run is finished: all ${steps} steps were taken.`);
		},
	});
	try {
		for await (const step of run) {
			line.update(step, steps);
			output.event("step", step);
		}
	} finally {
		painting.clear();
		line.close();
	}
	const { steps: taken, last, files, prompt } = await run.result();
	const result = {
		run: job.out,
		method,
		files: files.map((file) => join(job.out, file)),
		prompt,
		page: join(job.out, "index.html"),
		steps: taken,
		stepsNow: taken - startStep,
		loss: last?.loss ?? null,
		seconds: (performance.now() - started) / 1000,
	};
	output.result(result, (value) =>
		[`${value.stepsNow} steps in ${formatDuration(value.seconds)}`, ...value.files, value.page].join("\n"),
	);
}

/** Short and Long Caption: a run folder with the words. */
export async function writeCaption(
	job: Job,
	pipe: Pipeline,
	{ output }: CommandContext<TrainArguments>,
): Promise<void> {
	if (job.resume) throw new UsageError(`a caption has no steps to go on with; ${job.out} is finished`);
	const { writeCaptionRun } = await import("@dreamdist/models");
	const method = job.method as "short-caption" | "long-caption";
	const caption = await writeCaptionRun(pipe, method, job.settings, job.out);
	const cut = pipe.textEncoder.tokenizer.encode(caption).truncated;
	if (cut) output.notice(`The caption is too long; this will be cut off: "${cut}"`);
	output.result({ run: job.out, method, prompt: caption }, ({ run }) => run);
}
