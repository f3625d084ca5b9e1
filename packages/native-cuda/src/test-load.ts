// Loads a binary in a child process before this process does, and remembers the outcome.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { homedir, release } from "node:os";
import { join } from "node:path";

const LOAD = "try { require(process.argv[1]) } catch (error) { console.error(error.message); process.exit(1) }";
const TIMEOUT_MS = 60_000;

function userCacheDir(): string | null {
	const base = process.env.XDG_CACHE_HOME || (homedir() && join(homedir(), ".cache"));
	return base ? join(base, "dreamdist") : null;
}

/** A name for "this file on this system": the outcome of a test load holds for as long as this stays the same. */
function outcomeKey(path: string): string {
	const { size, mtimeMs } = statSync(path);
	const parts = [path, size, mtimeMs, process.version, process.platform, process.arch, release()];
	return createHash("sha256").update(parts.join("\n")).digest("hex").slice(0, 32);
}

/**
 * Loads a .node file in a child process.
 * @param cacheDir folder that remembers the files that loaded; null for none
 * @throws Error saying how the load failed
 */
export function testLoad(path: string, cacheDir: string | null = userCacheDir()): void {
	const record = cacheDir === null ? null : join(cacheDir, `loads-${outcomeKey(path)}`);
	if (record !== null) {
		try {
			readFileSync(record);
			return;
		} catch {
			// Not tested yet.
		}
	}
	const env = { ...process.env, ELECTRON_RUN_AS_NODE: "1", NODE_OPTIONS: "" };
	const child = spawnSync(process.execPath, ["-e", LOAD, path], { encoding: "utf8", env, timeout: TIMEOUT_MS });
	if (child.error) throw new Error(`it could not be tested: ${child.error.message}`);
	if (child.signal) throw new Error(`loading it crashed a test process with ${child.signal}`);
	if (child.status !== 0)
		throw new Error(child.stderr.trim().split("\n")[0] || `loading it failed with exit code ${child.status}`);
	if (cacheDir === null || record === null) return;
	try {
		mkdirSync(cacheDir, { recursive: true });
		writeFileSync(`${record}.${process.pid}`, `${path}\n`);
		renameSync(`${record}.${process.pid}`, record);
	} catch {
		// A cache that cannot be written only costs the next process another test.
	}
}
