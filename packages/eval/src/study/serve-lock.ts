// One server per study: two would not know of each other's answers.
import { open, readFile, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { DreamdistError, fileError } from "@dreamdist/core";

const LOCK_FILE = "serving.lock";

interface Holder {
	readonly process: number;
	readonly host: string;
}

/** Whether the process that left the lock may still be there. */
function mayBeAlive({ process: id, host }: Holder): boolean {
	if (host !== hostname()) return true;
	// The lock of an earlier process with our number, as in a container started again.
	if (id === process.pid) return false;
	try {
		process.kill(id, 0);
		return true;
	} catch (error) {
		return (error as NodeJS.ErrnoException).code === "EPERM";
	}
}

async function holderOf(path: string): Promise<Holder | null> {
	try {
		const { process: id, host } = JSON.parse(await readFile(path, "utf8")) as Partial<Holder>;
		return typeof id === "number" && typeof host === "string" ? { process: id, host } : null;
	} catch {
		return null;
	}
}

/** Locks in this process, whose number does not tell them apart. */
const held = new Set<string>();

/**
 * Takes the study for this process; a lock that a killed server left is taken over.
 *
 * @returns what gives it back
 * @throws DreamdistError `STUDY_SERVED` where another server has it
 */
export async function lockStudy(folder: string): Promise<() => Promise<void>> {
	const path = join(folder, LOCK_FILE);
	const served = (by: string) =>
		new DreamdistError("STUDY_SERVED", `${folder} is served already, by ${by}; stop that one, or delete ${path}`);
	if (held.has(path)) throw served("this process");
	held.add(path);
	try {
		const holder = await holderOf(path);
		if (holder && mayBeAlive(holder)) throw served(`process ${holder.process} on ${holder.host}`);
		await rm(path, { force: true });
		const file = await open(path, "wx");
		try {
			await file.writeFile(JSON.stringify({ process: process.pid, host: hostname() } satisfies Holder));
		} finally {
			await file.close();
		}
	} catch (error) {
		held.delete(path);
		throw fileError(error, "write", path);
	}
	return async () => {
		held.delete(path);
		await rm(path, { force: true });
	};
}
