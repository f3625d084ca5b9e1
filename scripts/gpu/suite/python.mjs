// The machine's Python, if it has PyTorch, and the comparison with it.
import { spawn } from "node:child_process";
import { openSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findProgram, runProgram } from "./program.mjs";

const SCRIPT = fileURLToPath(new URL("pytorch.py", import.meta.url));
const OLDEST = 2;

/** The first Python with PyTorch: its path and PyTorch's version; without one the first Python with `torch` null; null without any. */
export async function findPython() {
	let any = null;
	for (const name of ["python3", "python", "/usr/bin/python3"]) {
		const path = name.startsWith("/") ? name : findProgram(name, ["/opt/torch/.venv/bin", "/usr/bin"]);
		if (path === null) continue;
		const { code, output } = await runProgram(path, ["-c", "import torch; print(torch.__version__)"], { seconds: 25 });
		if (code === 0) return { path, torch: output.trim().split("\n").at(-1) };
		any ??= { path, torch: null };
	}
	return any;
}

/** Why there is no comparison, or null. `facts` are the machine's. */
export function whyNoTorch(facts) {
	if (!facts.python) return "this machine has no Python";
	if (!facts.torch) return "this machine's Python has no PyTorch";
	if (Number.parseInt(facts.torch, 10) < OLDEST)
		return `PyTorch ${facts.torch} is too old; it takes ${OLDEST}.0 or later`;
	return null;
}

const isCard = (device) => device.startsWith("cuda") && device !== "cuda-emulated";

/** The arguments of the script for these settings. */
export function scriptArguments(mode, { device, quick }) {
	return [
		SCRIPT,
		...["--mode", mode, "--config", quick ? "tiny" : "sd21", "--sizes", quick ? "64" : "768,512"],
		...["--device", isCard(device) ? device : "cpu", ...(quick ? ["--repeats", "2"] : [])],
	];
}

/** Starts compiling PyTorch's networks in the background, where there is a PyTorch; null where not. */
export function prepareCompiled(facts, settings) {
	if (whyNoTorch(facts) !== null) return null;
	const file = (name) => compiledFile(settings, name);
	const log = compiledLog(settings);
	const output = openSync(log, "w");
	const args = [...scriptArguments("compiled", settings), "--ready", file("ready"), "--go", file("go")];
	const child = spawn(facts.python, args, { stdio: ["ignore", output, output], detached: true });
	let running = true;
	child.once("close", () => {
		running = false;
	});
	child.once("error", () => {
		running = false;
	});
	const stop = () => {
		if (!running) return;
		try {
			process.kill(-child.pid, "SIGKILL");
		} catch {
			// It is gone.
		}
	};
	return { ready: file("ready"), running: () => running, stop };
}

/** Where the compiled run writes its lines, and the file that tells it to measure. */
export const compiledLog = ({ work }) => join(work, "pytorch-compiled.log");
export const compiledFile = ({ work }, name) => join(work, `pytorch-${name}`);
