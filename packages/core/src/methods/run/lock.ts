// One process per run folder.
import { randomUUID } from "node:crypto";
import { open, readFile, rename, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { fileError } from "../../data/file-system.js";
import { DreamdistError } from "../../errors.js";

const NAME = "lock.json";

interface LockRecord {
	readonly pid: number;
	readonly host: string;
	readonly started: string;
	readonly token: string;
}

/** A run folder is in use by another process. Code `RUN_LOCKED`. */
export class RunLockedError extends DreamdistError {
	constructor(folder: string, holder: Pick<LockRecord, "pid" | "host" | "started">) {
		super(
			"RUN_LOCKED",
			`${folder} is in use by process ${holder.pid} on ${holder.host} since ${holder.started}; wait for it, or choose another folder (${join(folder, NAME)} may be deleted if that process is gone)`,
		);
	}
}

function isAlive(pid: number): boolean {
	try {
		process.kill(pid, 0);
		return true;
	} catch (error) {
		// EPERM: it is there, and someone else's.
		return (error as NodeJS.ErrnoException).code === "EPERM";
	}
}

async function readLock(path: string): Promise<LockRecord | null> {
	try {
		return JSON.parse(await readFile(path, "utf8")) as LockRecord;
	} catch {
		// Gone meanwhile, or cut off by a crash while it was written.
		return null;
	}
}

/**
 * Takes the folder's lock. A lock of a process that is gone is taken over.
 *
 * @returns releases it; calling it twice does nothing
 * @throws RunLockedError while another process holds it
 */
export async function lockRun(folder: string): Promise<() => Promise<void>> {
	const path = join(folder, NAME);
	const own: LockRecord = {
		pid: process.pid,
		host: hostname(),
		started: new Date().toISOString(),
		token: randomUUID(),
	};
	for (let attempt = 0; ; attempt++) {
		try {
			const file = await open(path, "wx");
			try {
				await file.writeFile(JSON.stringify(own));
				await file.sync();
			} finally {
				await file.close();
			}
			return () => release(path, own.token);
		} catch (error) {
			if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw fileError(error, "lock the run folder", folder);
		}
		const holder = await readLock(path);
		const isOurs = holder?.host === own.host;
		if (holder && (!isOurs || isAlive(holder.pid))) throw new RunLockedError(folder, holder);
		if (attempt === 3)
			throw new RunLockedError(folder, holder ?? { pid: 0, host: own.host, started: "an unknown time" });
		// Of several that find a dead lock only one can move it away.
		const grave = `${path}.${own.token}`;
		await rename(path, grave).catch(() => undefined);
		await rm(grave, { force: true });
	}
}

async function release(path: string, token: string): Promise<void> {
	if ((await readLock(path))?.token === token) await rm(path, { force: true });
}
