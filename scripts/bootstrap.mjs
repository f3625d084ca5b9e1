// Zero-dependency entry: `node scripts/bootstrap.mjs <pnpm args...>`; installs, builds, then runs the given pnpm script.
// Finds pnpm on PATH only if its major matches packageManager; otherwise goes through npx (needs only npm).
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const want = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")).packageManager.replace(
	/\+.*/,
	"",
);
const shell = process.platform === "win32";
const have = spawnSync("pnpm", ["--version"], { shell, encoding: "utf8", cwd: root });
const same = have.status === 0 && have.stdout.trim().split(".")[0] === want.split("@")[1].split(".")[0];
const pnpm = (...a) => {
	const [cmd, args] = same ? ["pnpm", a] : ["npx", ["--yes", want, ...a]];
	const r = spawnSync(cmd, args, {
		stdio: "inherit",
		shell,
		cwd: root,
		env: { ...process.env, npm_config_update_notifier: "false", TURBO_TELEMETRY_DISABLED: "1" },
	});
	if (r.status) process.exit(r.status);
};
pnpm("install", "--frozen-lockfile", "--prefer-offline", "--config.confirmModulesPurge=false");
pnpm("exec", "turbo", "run", "build", "--output-logs=new-only");
pnpm(...process.argv.slice(2));
