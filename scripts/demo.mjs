// What `npm run demo` shows: the state of this machine, then the best job there is, written to runs/demo/.
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const cli = join(root, "packages", "cli", "bin", "dreamdist.js");
// The commands resolve relative paths against the caller's folder; the demo's belong to the clone.
const env = { ...process.env, INIT_CWD: root };

for (const command of [["doctor"], ["demo", "--out", join(root, "runs", "demo"), ...process.argv.slice(2)]]) {
	const { status } = spawnSync(process.execPath, [cli, ...command], { cwd: root, stdio: "inherit", env });
	if (status !== 0) process.exit(status ?? 1);
}
