// How to call the pnpm that this repository wants.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** The command and its first arguments: the pnpm on PATH where its major is ours, else npm's npx, which fetches ours. */
export function findPnpm(env = process.env) {
	const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
	const wanted = manifest.packageManager.replace(/\+.*/, "");
	const shell = process.platform === "win32";
	const found = spawnSync("pnpm", ["--version"], { shell, encoding: "utf8", cwd: root, env });
	const major = (version) => version.trim().split(".")[0];
	const usable = found.status === 0 && major(found.stdout) === major(wanted.split("@")[1]);
	return usable ? ["pnpm"] : ["npx", "--yes", wanted];
}
