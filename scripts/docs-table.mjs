// Tables in docs/benchmarks.md: each stands between two marks, and a command writes what is between them.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const path = join(root, "docs", "benchmarks.md");

/** Puts a text between the marks `<!-- NAME: written by … -->` and `<!-- end of NAME -->` of the page, or of another file. */
export function writeTable(name, text, file = path) {
	const page = readFileSync(file, "utf8");
	const begin = page.indexOf(`<!-- ${name}: written by `);
	const end = page.indexOf(`<!-- end of ${name} -->`);
	const from = page.indexOf("-->", begin) + "-->".length;
	if (begin < 0 || end < from) throw new Error(`${file} has lost its marks "${name}"`);
	writeFileSync(file, `${page.slice(0, from)}\n\n${text}\n\n${page.slice(end)}`);
}

/** The commit that is checked out, or what stands for it. */
function commit() {
	const { stdout } = spawnSync("git", ["rev-parse", "--short", "HEAD"], { cwd: root, encoding: "utf8" });
	return stdout?.trim() || "a tree without git";
}

/** What a table was measured on: the machine, the commit and the day. */
export function measuredOn(machine) {
	return `${machine}; ${commit()}; ${new Date().toISOString().slice(0, 10)}`;
}

/** This machine's processor and what a device makes of it. */
export function describeMachine(device) {
	return `${cpus()[0]?.model.trim()}, ${device.threads} threads, ${device.isa}`;
}
