// `train --method`: the methods that the paper is compared with.
import { join } from "node:path";
import type { FinetuneMethod, Pipeline } from "@dreamdist/models";
import type { Job } from "../commands/train.js";
import type { CommandContext } from "../context.js";
import { UsageError } from "../errors.js";
import { ProgressLine } from "../progress-line.js";
import type { TrainArguments } from "./options.js";
import { finetunePlanLines } from "./plan.js";
import { TrainingProgress } from "./progress.js";

/** Trains, and says how far it is. */
export async function runFinetuning(job: Job, pipe: Pipeline, context: CommandContext<TrainArguments>): Promise<void> {
	const { options, output, signal } = context;
	const { finetune, METHOD_LABELS } = await import("@dreamdist/models");
	const method = job.method as FinetuneMethod;
	const progress = new TrainingProgress(options, output, pipe.device);
	const painting = new ProgressLine(!options.quiet && !options.json, "picture of the prior");
	const run = finetune(pipe, method, job.images, job.settings as never, {
		...job.reporting,
		out: job.out,
		resume: job.resume,
		priorFolder: job.prior,
		signal,
		onPrior: (done, count) => {
			if (done > 0 && done < count) painting.update(done, count);
			if (done >= count) painting.clear();
			output.event("prior", { done, count });
		},
		onPlan: (plan) => progress.plan(plan, job.model, finetunePlanLines(plan, METHOD_LABELS[method])),
	});
	try {
		await progress.follow(run);
	} finally {
		painting.clear();
	}
	const { steps, last, files, prompt } = await run.result();
	const paths = files.map((file) => join(job.out, file));
	progress.result({ run: job.out, method, files: paths, prompt }, paths, { steps, last });
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
