// What `npm run demo` shows: the state of this machine, then the best job there is, written to runs/demo/.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const cli = join(root, "packages", "cli", "bin", "dreamdist.js");
// The commands resolve relative paths against the caller's folder; the demo's belong to the clone.
const env = { ...process.env, INIT_CWD: root };

const paints = process.env.DD_MINI || existsSync(join(root, "packages", "models", "mini", "model_index.json"));
if (!paints) console.log("The embedded model has no weights in this clone yet; this shows the engine alone.\n");

for (const command of [
	["doctor"],
	[paints ? "demo" : "engine-demo", "--out", join(root, "runs", "demo"), ...process.argv.slice(2)],
]) {
	const { status } = spawnSync(process.execPath, [cli, ...command], { cwd: root, stdio: "inherit", env });
	if (status !== 0) process.exit(status ?? 1);
}
