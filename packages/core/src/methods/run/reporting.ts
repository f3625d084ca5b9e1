// What a run writes while it goes on, beside its metrics.
import { z } from "zod";
import { ArgumentError } from "../../errors.js";

/** None of it changes what is learned: a run that goes on may change it, and keeps what it is not told anew. */
export interface ReportingOptions {
	/** Steps between checkpoints. Default 100. The last step always has one. */
	readonly checkpointEvery?: number | undefined;
	/** Checkpoints to keep; 0 keeps all. Default 0 for a distribution; 1 for what is fine-tuned, which may be large. */
	readonly keep?: number | undefined;
	/** Steps between grids of pictures in `samples/`; 0 (the default): none. Each has a checkpoint. */
	readonly sampleEvery?: number | undefined;
	/** Texts with "{}" where what is learned stands; each is a row of the grids. */
	readonly validationPrompts?: readonly string[] | undefined;
	/** Write event files for TensorBoard into `tensorboard/`. Default false. */
	readonly tensorboard?: boolean | undefined;
}

/** All of it. */
export type Reporting = { readonly [Key in keyof ReportingOptions]-?: Exclude<ReportingOptions[Key], undefined> };

const DEFAULTS: Omit<Reporting, "keep"> = {
	checkpointEvery: 100,
	sampleEvery: 0,
	validationPrompts: [],
	tensorboard: false,
};

/** As run.json has it: what was given. */
export const reportingSchema = z.object({
	checkpointEvery: z.number().optional(),
	keep: z.number().optional(),
	sampleEvery: z.number().optional(),
	validationPrompts: z.array(z.string()).optional(),
	tensorboard: z.boolean().optional(),
});

/** Only what was given, of an object that may hold other options too. @throws ArgumentError naming what is out of range */
export function givenReporting(options: ReportingOptions): z.infer<typeof reportingSchema> {
	for (const [name, least] of [
		["checkpointEvery", 1],
		["keep", 0],
		["sampleEvery", 0],
	] as const) {
		const value = options[name];
		if (value !== undefined && (!Number.isInteger(value) || value < least))
			throw new ArgumentError(`${name} must be a whole number from ${least} on, not ${value}`);
	}
	const { checkpointEvery, keep, sampleEvery, validationPrompts, tensorboard } = options;
	return {
		...(checkpointEvery !== undefined && { checkpointEvery }),
		...(keep !== undefined && { keep }),
		...(sampleEvery !== undefined && { sampleEvery }),
		...(validationPrompts !== undefined && { validationPrompts: [...validationPrompts] }),
		...(tensorboard !== undefined && { tensorboard }),
	};
}

/** @param keep by default, of the method */
export function wholeReporting(given: ReportingOptions, keep: number): Reporting {
	return { ...DEFAULTS, keep, ...givenReporting(given) };
}
