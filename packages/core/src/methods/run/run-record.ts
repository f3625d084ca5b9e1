// run.json: everything needed to repeat a run, and whether another run may go on from it.
import { readFile } from "node:fs/promises";
import { z } from "zod";
import { writeFileAtomic } from "../../data/atomic.js";
import { fileError } from "../../data/file-system.js";
import { DreamdistError, FormatError } from "../../errors.js";
import { learnSettingsSchema } from "../learn-settings.js";
import { modelIdentitySchema } from "../prompts/distribution-file.js";

export const RUN_STATUSES = ["running", "interrupted", "failed", "finished"] as const;

const runRecordSchema = z.object({
	format: z.literal("dreamdist.run"),
	version: z.literal(1),
	settings: learnSettingsSchema,
	model: modelIdentitySchema,
	pictures: z.array(z.object({ path: z.string(), hash: z.string(), className: z.string().nullable() })),
	device: z.object({ kind: z.string(), isa: z.string(), threads: z.number() }),
	node: z.string(),
	created: z.string(),
	updated: z.string(),
	status: z.enum(RUN_STATUSES),
	/** Of the last checkpoint. */
	step: z.number(),
});
export type RunRecord = z.infer<typeof runRecordSchema>;

/** The record, or null where there is none. @throws FormatError `BAD_RUN` when it is damaged */
export async function readRunRecord(path: string): Promise<RunRecord | null> {
	let text: string;
	try {
		text = await readFile(path, "utf8");
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
		throw fileError(error, "read", path);
	}
	let json: unknown;
	try {
		json = JSON.parse(text);
	} catch (error) {
		throw new FormatError("BAD_RUN", path, `${path} is not JSON (${(error as Error).message})`);
	}
	const parsed = runRecordSchema.safeParse(json);
	if (!parsed.success) {
		const issue = parsed.error.issues[0]!;
		throw new FormatError("BAD_RUN", path, `${path} is no run record: "${issue.path.join(".")}" ${issue.message}`);
	}
	return parsed.data;
}

export async function writeRunRecord(path: string, record: RunRecord): Promise<void> {
	await writeFileAtomic(path, `${JSON.stringify(record, null, "\t")}\n`);
}

/** A run can't go on as asked. Code `RUN_CHANGED`. */
export class RunChangedError extends DreamdistError {
	constructor(message: string) {
		super("RUN_CHANGED", message);
	}
}

/** What may change when a run goes on: how far it goes, and what it spends memory on. */
const CHANGEABLE = new Set(["steps", "recompute"]);

/**
 * Checks that a run may go on from a record.
 *
 * @returns notices, about what may make bits differ
 * @throws RunChangedError naming what differs
 */
export function checkResumable(before: RunRecord, now: RunRecord, folder: string): string[] {
	const changed = Object.keys(learnSettingsSchema.shape).flatMap((key) => {
		const [a, b] = [before.settings, now.settings].map((settings) =>
			JSON.stringify(settings[key as keyof typeof settings]),
		);
		return a === b || CHANGEABLE.has(key) ? [] : [`${key} (${a} before, ${b} now)`];
	});
	const refuse = (what: string) =>
		new RunChangedError(`the run in ${folder} can't be resumed: ${what}; use what it began with, or another folder`);
	if (changed.length > 0) throw refuse(`the settings differ: ${changed.join(", ")}`);
	if (before.model.hash !== now.model.hash)
		throw refuse(`the model is another one (${before.model.id} before, ${now.model.id} now)`);
	const hashes = (record: RunRecord) =>
		record.pictures.map(({ hash, className }) => `${hash}/${className ?? ""}`).join();
	if (hashes(before) !== hashes(now))
		throw refuse(`the pictures differ (${before.pictures.length} before, ${now.pictures.length} now)`);
	const { kind, isa, threads } = before.device;
	if (kind === now.device.kind && isa === now.device.isa && threads === now.device.threads) return [];
	return [
		`the run began on ${kind} (${isa}, ${threads} threads) and goes on on ${now.device.kind} (${now.device.isa}, ${now.device.threads} threads): its last bits may differ from those of a run that never stopped`,
	];
}
