// Runs the cases of a reference set through the project.
import { join, resolve } from "node:path";
import { ArgumentError, type Device, FormatError, openSafetensors } from "@dreamdist/core";
import { z } from "zod";
import { readJsonFile } from "../loading/json-file.js";
import type { ModelFiles } from "../loading/model-files.js";
import { openModel } from "../pipeline/load-pipeline.js";
import { type CaseKind, VerifyCase, VerifyRunner } from "./case.js";
import { autoAugmentCase } from "./kinds/auto-augment.js";
import { autoencoderCase } from "./kinds/autoencoder.js";
import { clipVisionCase } from "./kinds/clip-vision.js";
import { composeCase } from "./kinds/compose.js";
import { generateCase } from "./kinds/generate.js";
import { inceptionCase } from "./kinds/inception.js";
import { lpipsCase } from "./kinds/lpips.js";
import { noiseScheduleCase } from "./kinds/noise-schedule.js";
import { promptStepCase } from "./kinds/prompt-step.js";
import { promptTrainCase } from "./kinds/prompt-train.js";
import { resizeCase } from "./kinds/resize.js";
import { resnetCase } from "./kinds/resnet.js";
import { schedulerCase } from "./kinds/scheduler.js";
import { textEncoderCase } from "./kinds/text-encoder.js";
import { tokenizerCase } from "./kinds/tokenizer.js";
import { unetCase } from "./kinds/unet.js";
import { dinoCase, dinov2Case } from "./kinds/vision-transformer.js";
import { type CaseResult, type Comparison, summarise, type VerifyReport } from "./report.js";
import { verifyCase } from "./yardstick.js";

/** The kinds of cases that this package can check. */
export const MODEL_CASE_KINDS: Readonly<Record<string, CaseKind>> = {
	tokenizer: tokenizerCase,
	text_encoder: textEncoderCase,
	unet: unetCase,
	vae: autoencoderCase,
	noise_schedule: noiseScheduleCase,
	scheduler: schedulerCase,
	prompt_step: promptStepCase,
	prompt_train: promptTrainCase,
	generate: generateCase,
	compose: composeCase,
	clip_vision: clipVisionCase,
	dino_vit: dinoCase,
	dinov2: dinov2Case,
	inception: inceptionCase,
	lpips: lpipsCase,
	resnet50: resnetCase,
	autoaugment: autoAugmentCase,
	resize: resizeCase,
};

export interface VerifyOptions {
	device: Device;
	/** Where the device computes in low precision: one that computes the same naively, whose errors are the measure of the device's. */
	yardstick?: Device | undefined;
	/** Kinds by name; default `MODEL_CASE_KINDS`. */
	kinds?: Readonly<Record<string, CaseKind>> | undefined;
	signal?: AbortSignal | undefined;
	/** Called after each case. */
	onCase?: ((result: CaseResult) => void) | undefined;
}

const caseSchema = z.looseObject({
	name: z.string(),
	kind: z.string(),
	file: z.string(),
	model: z.string().optional(),
});
const setSchema = z.looseObject({ model: z.string().optional(), cases: z.array(caseSchema).min(1) });

/**
 * Verifies every case of a set: a folder with a `cases.json`. A case that can't be run, or whose kind is not known, is a failure with a
 * message; a set that can't be read at all is an error.
 *
 * @throws FileError or FormatError for the set itself; the signal's reason when it is aborted
 */
export async function verifySet(folder: string, options: VerifyOptions): Promise<VerifyReport> {
	const path = join(folder, "cases.json");
	const parsed = setSchema.safeParse(await readJsonFile(path));
	if (!parsed.success) {
		const issue = parsed.error.issues[0]!;
		throw new FormatError("BAD_SET", path, `${path}: "${issue.path.join(".")}": ${issue.message}`);
	}
	const { kinds = MODEL_CASE_KINDS, signal, onCase } = options;
	const runner = new VerifyRunner(options.device, signal);
	const naive = options.yardstick && new VerifyRunner(options.yardstick, signal);
	const models = new Models();
	const results: CaseResult[] = [];
	try {
		for (const one of parsed.data.cases) {
			signal?.throwIfAborted();
			const model = one.model ?? parsed.data.model;
			const openModelOf = () => {
				if (model === undefined) throw new FormatError("BAD_SET", path, "neither the case nor its set names a model");
				return models.open(resolve(folder, model));
			};
			const file = resolve(folder, one.file);
			const kind = kinds[one.kind];
			const compare = (by: VerifyRunner) => compareCase(one, file, kind, by, openModelOf, folder);
			const result = await verifyCase(one.name, one.kind, compare, runner, naive);
			signal?.throwIfAborted();
			results.push(result);
			onCase?.(result);
		}
	} finally {
		models.dispose();
	}
	return summarise(options.device.toString(), runner.launches, results);
}

async function compareCase(
	attributes: z.infer<typeof caseSchema>,
	file: string,
	kind: CaseKind | undefined,
	runner: VerifyRunner,
	openModelOf: () => Promise<ModelFiles>,
	folder: string,
): Promise<readonly Comparison[]> {
	if (!kind) throw new ArgumentError(`cases of the kind "${attributes.kind}" are not known`);
	const tensors = file.endsWith(".safetensors") ? await openSafetensors(file) : null;
	try {
		const one = new VerifyCase(file, attributes, runner, openModelOf, folder, tensors);
		await kind(one);
		one.requireAllUsed();
		return one.comparisons;
	} finally {
		await tensors?.close();
	}
}

/** Models that cases share, each opened once. */
class Models {
	private readonly opened = new Map<string, Promise<ModelFiles>>();

	open(path: string): Promise<ModelFiles> {
		let model = this.opened.get(path);
		if (!model) {
			model = openModel(path);
			this.opened.set(path, model);
		}
		return model;
	}

	dispose(): void {
		for (const model of this.opened.values())
			model.then(
				(files) => files.dispose(),
				() => undefined,
			);
	}
}
