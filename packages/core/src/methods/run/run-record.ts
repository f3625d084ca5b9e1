// run.json: everything needed to repeat a run, and whether another run may go on from it.
import { readFile } from "node:fs/promises";
import { z } from "zod";
import { writeFileAtomic } from "../../data/atomic.js";
import { fileError } from "../../data/file-system.js";
import { DreamdistError, FormatError } from "../../errors.js";
import type { LearnSettings } from "../learn-settings.js";
import type { FrozenModel } from "../pipeline.js";
import { modelIdentitySchema } from "../prompts/distribution-file.js";
import { reportingSchema } from "./reporting.js";
import { LEARNING_METHOD, LEARNING_RUN, type RunKind } from "./run-kind.js";

export const RUN_STATUSES = ["running", "interrupted", "failed", "finished"] as const;

const runRecordSchema = z.object({
	format: z.literal("dreamdist.run"),
	version: z.literal(1),
	/** Absent: learning a distribution. */
	method: z.string().optional(),
	settings: z.record(z.string(), z.unknown()),
	reporting: reportingSchema.optional(),
	model: modelIdentitySchema,
	pictures: z.array(z.object({ path: z.string(), hash: z.string(), className: z.string().nullable() })),
	/** `tf32`: products of f32 were computed in tf32. */
	device: z.object({ kind: z.string(), isa: z.string(), threads: z.number(), tf32: z.boolean().optional() }),
	node: z.string(),
	created: z.string(),
	updated: z.string(),
	status: z.enum(RUN_STATUSES),
	/** Of the last checkpoint. */
	step: z.number(),
});
/** A run of some method, whose settings are that method's. */
export type RunRecord<Settings extends object = LearnSettings> = Omit<z.infer<typeof runRecordSchema>, "settings"> & {
	readonly settings: Settings;
};

/** The record of a run that is about to start. */
export function newRunRecord<Settings extends object>(
	method: string,
	settings: Settings,
	{ identity, device: { kind, isa, threads, tf32 } }: FrozenModel,
	pictures: readonly { readonly path: string; readonly hash: string; readonly className: string | null }[],
): RunRecord<Settings> {
	const now = new Date().toISOString();
	return {
		format: "dreamdist.run",
		version: 1,
		...(method !== LEARNING_METHOD && { method }),
		settings,
		model: identity,
		pictures: pictures.map(({ path, hash, className }) => ({ path, hash, className })),
		device: { kind, isa, threads, ...(tf32 && { tf32 }) },
		node: process.version,
		created: now,
		updated: now,
		status: "running",
		step: 0,
	};
}

/** A run's record whatever its method; null where there is none. @throws FormatError `BAD_RUN` when it is damaged */
export async function readAnyRunRecord(path: string): Promise<RunRecord<Record<string, unknown>> | null> {
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
	return parsed(runRecordSchema, json, path, "");
}

function parsed<T>(schema: z.ZodType<T>, json: unknown, path: string, prefix: string): T {
	const result = schema.safeParse(json);
	if (result.success) return result.data;
	const issue = result.error.issues[0]!;
	const key = `${prefix}${issue.path.join(".")}`;
	throw new FormatError("BAD_RUN", path, `${path} is no run record: "${key}" ${issue.message}`);
}

/** The method that a record's run is of. */
export function methodOf(record: { readonly method?: string | undefined }): string {
	return record.method ?? LEARNING_METHOD;
}

/**
 * The record of a run of one method, or null where there is none.
 *
 * @throws FormatError `BAD_RUN` when it is damaged, or of another method
 */
export async function readRunRecordOf<Settings extends object, State extends { readonly step: number }>(
	path: string,
	kind: RunKind<Settings, State>,
): Promise<RunRecord<Settings> | null> {
	const record = await readAnyRunRecord(path);
	if (record === null) return null;
	if (methodOf(record) !== kind.method)
		throw new FormatError("BAD_RUN", path, `${path} is of a run of ${methodOf(record)}, not of ${kind.method}`);
	return { ...record, settings: parsed(kind.settings, record.settings, path, "settings.") };
}

/** The record of a run of learning, or null where there is none. @throws FormatError `BAD_RUN` when it is damaged */
export async function readRunRecord(path: string): Promise<RunRecord | null> {
	return readRunRecordOf(path, LEARNING_RUN);
}

export async function writeRunRecord(path: string, record: RunRecord<object>): Promise<void> {
	await writeFileAtomic(path, `${JSON.stringify(record, null, "\t")}\n`);
}

/** A run can't go on as asked. Code `RUN_CHANGED`. */
export class RunChangedError extends DreamdistError {
	constructor(message: string) {
		super("RUN_CHANGED", message);
	}
}

/**
 * Checks that a run may go on from a record.
 *
 * @returns notices, about what may make bits differ
 * @throws RunChangedError naming what differs
 */
export function checkResumable<Settings extends object, State extends { readonly step: number }>(
	before: RunRecord<Settings>,
	now: RunRecord<Settings>,
	folder: string,
	{ changeable }: RunKind<Settings, State>,
): string[] {
	const keys = new Set([...Object.keys(before.settings), ...Object.keys(now.settings)]) as Set<keyof Settings & string>;
	const changed = [...keys].flatMap((key) => {
		const [a, b] = [before.settings, now.settings].map((settings) => JSON.stringify(settings[key]));
		return a === b || changeable.has(key) ? [] : [`${key} (${a} before, ${b} now)`];
	});
	const refuse = (what: string) =>
		new RunChangedError(`the run in ${folder} can't be resumed: ${what}; use what it began with, or another folder`);
	if (changed.length > 0) throw refuse(`the settings differ: ${changed.join(", ")}`);
	if (before.model.hash !== now.model.hash)
		throw refuse(`the model is another one (${before.model.id} before, ${now.model.id} now)`);
	const hashes = (record: RunRecord<Settings>) =>
		record.pictures.map(({ hash, className }) => `${hash}/${className ?? ""}`).join();
	if (hashes(before) !== hashes(now))
		throw refuse(`the pictures differ (${before.pictures.length} before, ${now.pictures.length} now)`);
	const name = ({ kind, isa, threads, tf32 }: RunRecord["device"]) =>
		`${kind} (${isa}, ${threads} threads${tf32 ? ", products in tf32" : ""})`;
	const [began, goesOn] = [name(before.device), name(now.device)];
	if (began === goesOn) return [];
	return [
		`the run began on ${began} and goes on on ${goesOn}: its last bits may differ from those of a run that never stopped`,
	];
}
