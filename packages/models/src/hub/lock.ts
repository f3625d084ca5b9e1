import { open, readFile, rm, stat, utimes } from "node:fs/promises";
import { hostname } from "node:os";
import { fileError } from "@dreamdist/core";
import { sleep } from "./http.js";

/** A holder renews its lock this often; a lock this many times older was left behind. */
const RENEWAL_MS = 5_000;
const STALE_MS = 6 * RENEWAL_MS;
const POLL_MS = 200;

/**
 * Runs `work` while this process alone holds the lock file `path`. A lock whose holder was killed is taken over: at once
 * when the holder ran on this machine, otherwise when it has not been renewed for 30 s.
 *
 * @param onWait called once when another process holds the lock
 * @throws the signal's reason when it is aborted while waiting
 */
export async function withLock<T>(
	path: string,
	signal: AbortSignal | undefined,
	onWait: () => void,
	work: () => Promise<T>,
): Promise<T> {
	let hasWaited = false;
	while (!(await tryAcquire(path))) {
		if (await isAbandoned(path)) {
			await rm(path, { force: true });
			continue;
		}
		if (!hasWaited) onWait();
		hasWaited = true;
		await sleep(POLL_MS, signal);
	}
	const renewal = setInterval(() => void utimes(path, new Date(), new Date()).catch(() => undefined), RENEWAL_MS);
	renewal.unref();
	try {
		return await work();
	} finally {
		clearInterval(renewal);
		await rm(path, { force: true });
	}
}

async function tryAcquire(path: string): Promise<boolean> {
	try {
		const file = await open(path, "wx");
		try {
			await file.writeFile(JSON.stringify({ pid: process.pid, host: hostname() }));
		} finally {
			await file.close();
		}
		return true;
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
		throw fileError(error, "write", path);
	}
}

async function isAbandoned(path: string): Promise<boolean> {
	try {
		if (Date.now() - (await stat(path)).mtimeMs > STALE_MS) return true;
		const holder = JSON.parse(await readFile(path, "utf8")) as { pid?: unknown; host?: unknown };
		if (holder.host !== hostname() || typeof holder.pid !== "number") return false;
		process.kill(holder.pid, 0);
		return false;
	} catch (error) {
		// No such process. A lock that is gone or half written is looked at again.
		return (error as NodeJS.ErrnoException).code === "ESRCH";
	}
}
