// Starting programs of the machine.
import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** Where a program is, on PATH or in the folders given; null where it is not. */
export function findProgram(name, folders = []) {
	for (const folder of [...(process.env.PATH ?? "").split(delimiter), ...folders]) {
		if (folder === "") continue;
		try {
			accessSync(join(folder, name), constants.X_OK);
			return join(folder, name);
		} catch {
			// Not here.
		}
	}
	return null;
}

/**
 * Runs a program to its end, or ends it with everything it started.
 *
 * @returns its exit code (null: ended), whether it ran out of time, and the end of its output
 */
export function runProgram(command, args, { seconds, env = process.env, cwd, onLine, input } = {}) {
	return new Promise((resolve) => {
		// A group of its own, so that its children end with it.
		const child = spawn(command, args, {
			env,
			cwd,
			stdio: [input ? "pipe" : "ignore", "pipe", "pipe"],
			detached: true,
		});
		let output = "";
		let timedOut = false;
		const take = (text) => {
			output = (output + text).slice(-200_000);
			onLine?.(text);
		};
		child.stdout.setEncoding("utf8").on("data", take);
		child.stderr.setEncoding("utf8").on("data", take);
		const end = () => {
			try {
				process.kill(-child.pid, "SIGKILL");
			} catch {
				// It is gone.
			}
		};
		const timer = setTimeout(() => {
			timedOut = true;
			end();
		}, seconds * 1000);
		child.once("error", (error) => {
			clearTimeout(timer);
			resolve({ code: null, timedOut, output: error.message });
		});
		child.once("close", (code) => {
			clearTimeout(timer);
			end();
			resolve({ code, timedOut, output });
		});
	});
}
