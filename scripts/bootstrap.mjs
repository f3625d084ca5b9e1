// The first command after a clone: `node scripts/bootstrap.mjs <build|demo|test> [arguments…]`.
// Depends on Node alone. Checks the machine, installs the packages, builds, then runs the target.
import { spawnSync } from "node:child_process";
import { accessSync, constants, mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { missingMessage, missingParts, toolchainFingerprint } from "../packages/native-cuda/scripts/toolchain.mjs";
import { findPnpm } from "./pnpm.mjs";

const TARGETS = { build: undefined, demo: "demo.mjs", test: "test.mjs" };
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const onWindows = process.platform === "win32";

/** Ends with one message for the user. */
function stop(message, code = 1) {
	console.error(`\n${message}`);
	process.exit(code);
}

function checkNode() {
	const [major, minor] = process.versions.node.split(".").map(Number);
	if (major > 20 || (major === 20 && minor >= 19)) return;
	stop(
		`dreamdist needs Node 20.19 or later, and this is Node ${process.versions.node}. Install a newer one from https://nodejs.org.`,
	);
}

function checkFolder(target) {
	const path = root.slice(onWindows ? 2 : 0);
	// PATH and CMake lists are separated by these: no tool of the build can address such a folder.
	const unusable = [delimiter, ";", "\n"].find((character) => path.includes(character));
	if (unusable) {
		stop(
			`The folder ${root} has ${JSON.stringify(unusable)} in its path, which build tools cannot handle: move the folder.`,
		);
	}
	const unreadable = target === "test" && ["#", "?", "%"].find((character) => path.includes(character));
	if (unreadable) {
		stop(
			`The folder ${root} has "${unreadable}" in its path, where vite, which runs the tests, finds no files: move the folder.`,
		);
	}
	try {
		accessSync(root, constants.W_OK);
	} catch {
		stop(`The folder ${root} cannot be written to, and the build happens inside it: copy it to a place of your own.`);
	}
}

function checkToolchain() {
	const missing = missingParts();
	if (missing.length > 0) stop(missingMessage(missing));
}

/** Settings for every child: no telemetry, no questions, and a cache that can be written even where HOME cannot. */
function childEnvironment() {
	const env = {
		...process.env,
		COREPACK_ENABLE_DOWNLOAD_PROMPT: "0",
		TURBO_TELEMETRY_DISABLED: "1",
		TURBO_NO_UPDATE_NOTIFIER: "1",
		npm_config_update_notifier: "false",
		DD_TOOLCHAIN: toolchainFingerprint(),
	};
	// `npm --silent run …` must not silence why npx failed.
	if (env.npm_config_loglevel === "silent") env.npm_config_loglevel = "error";
	let home;
	try {
		home = homedir();
		mkdirSync(home, { recursive: true });
		accessSync(home, constants.W_OK);
	} catch {
		const substitute = join(root, ".turbo", "home");
		mkdirSync(substitute, { recursive: true });
		if (home) env.npm_config_userconfig = process.env.npm_config_userconfig || join(home, ".npmrc");
		for (const name of ["XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "npm_config_cache"])
			delete env[name];
		env.HOME = substitute;
		env.USERPROFILE = substitute;
	}
	return env;
}

/** Runs a program with our terminal and returns its exit code. */
function runProgram(command, args, env, shell = false) {
	const result = spawnSync(command, args, { stdio: "inherit", cwd: root, env, shell });
	if (result.error && result.error.code === "ENOENT")
		stop(`${command} is not on PATH; it comes with Node from https://nodejs.org.`);
	if (result.error) stop(`${command} could not be started: ${result.error.message}.`);
	if (result.signal) process.exit(result.signal === "SIGINT" ? 130 : 1);
	return result.status;
}

function main([target, ...args]) {
	if (!Object.keys(TARGETS).includes(target)) {
		stop(`Usage: node scripts/bootstrap.mjs <${Object.keys(TARGETS).join("|")}> [arguments]`, 2);
	}
	checkNode();
	checkFolder(target);
	checkToolchain();
	const env = childEnvironment();
	const [pnpm, ...first] = findPnpm(env);
	const runPnpm = (...rest) => runProgram(pnpm, [...first, ...rest], env, onWindows);
	// --prefer-offline: what this machine has already is not asked for again.
	if (runPnpm("install", "--frozen-lockfile", "--prefer-offline", "--config.confirmModulesPurge=false") !== 0) {
		stop(
			"Installing the packages failed (see above). It needs the npm registry; behind a proxy, set HTTPS_PROXY or npm's registry.",
		);
	}
	if (runPnpm("exec", "turbo", "run", "build", "--output-logs=new-only") !== 0) {
		stop(
			"The build failed: its first error stands above. `DD_CUDA=OFF` leaves CUDA out; docs/development.md lists the other settings.",
		);
	}
	if (TARGETS[target] === undefined) return 0;
	return runProgram(process.execPath, [join(root, "scripts", TARGETS[target]), ...args], env);
}

process.exit(main(process.argv.slice(2)));
