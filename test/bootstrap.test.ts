// Runs scripts/bootstrap.mjs in a copy of what it reads, on a PATH of stand-in tools that record how they were called.
import { spawnSync } from "node:child_process";
import {
	chmodSync,
	cpSync,
	existsSync,
	mkdirSync,
	mkdtempSync,
	readFileSync,
	rmSync,
	symlinkSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const repository = fileURLToPath(new URL("..", import.meta.url));
const WANTED = (
	JSON.parse(readFileSync(join(repository, "package.json"), "utf8")) as { packageManager: string }
).packageManager.replace(/\+.*/, "");
const WORKING_TOOLS = {
	cmake: 'echo "cmake version 3.25.1"',
	"c++": 'echo "c++ 12.2.0"',
	make: ":",
	pnpm: `[ "$1" = --version ] && echo ${WANTED.split("@")[1]} || record pnpm "$@"`,
};

let scratch: string;
let clone: string;
let bin: string;
let home: string;

function addTool(name: string, body: string): void {
	const record = `record() { printf '%s ' "$@" >> "$LOG"; echo "HOME=$HOME TOOLCHAIN=$DD_TOOLCHAIN" >> "$LOG"; }`;
	writeFileSync(join(bin, name), `#!/bin/sh\n${record}\n${body}\n`);
	chmodSync(join(bin, name), 0o755);
}

function addTools(tools: Readonly<Record<string, string>>): void {
	for (const [name, body] of Object.entries(tools)) addTool(name, body);
}

function bootstrap(args: string[], env: Record<string, string> = {}, nodeArgs: string[] = []) {
	const script = join(clone, "scripts", "bootstrap.mjs");
	const log = join(scratch, "calls.log");
	const result = spawnSync(process.execPath, [...nodeArgs, script, ...args], {
		encoding: "utf8",
		cwd: tmpdir(),
		env: { PATH: bin, HOME: home, LOG: log, ...env },
	});
	const calls = existsSync(log) ? readFileSync(log, "utf8").trim().split("\n") : [];
	const text = result.stdout + result.stderr;
	// Whatever went wrong, a user never sees where in our code.
	expect(text).not.toMatch(/^\s+at .*:\d+/m);
	return { status: result.status, text, calls };
}

beforeEach(() => {
	scratch = mkdtempSync(join(tmpdir(), "dreamdist bootstrap ü'$ "));
	[clone, bin, home] = ["clone", "bin", "home"].map((name) => join(scratch, name)) as [string, string, string];
	for (const folder of [clone, bin, home]) mkdirSync(folder);
	for (const path of ["scripts", "package.json", join("packages", "native-cuda", "scripts")]) {
		cpSync(join(repository, path), join(clone, path), { recursive: true });
	}
	symlinkSync("/bin/sh", join(bin, "sh"));
});
afterEach(() => rmSync(scratch, { recursive: true, force: true }));

describe.skipIf(process.platform === "win32")("bootstrap", () => {
	it("installs the locked packages, builds, and tells turbo about the toolchain", () => {
		addTools(WORKING_TOOLS);
		const { status, calls } = bootstrap(["build"]);
		expect(status).toBe(0);
		expect(calls).toHaveLength(2);
		expect(calls[0]).toMatch(/^pnpm install --frozen-lockfile --prefer-offline /);
		expect(calls[1]).toMatch(/^pnpm exec turbo run build .* TOOLCHAIN=[0-9a-f]{16}$/);
		expect(calls[1]).toContain(`HOME=${home} `);
	});

	it("gives another toolchain another fingerprint", () => {
		addTools(WORKING_TOOLS);
		const first = bootstrap(["build"]).calls.at(-1);
		addTool("c++", 'echo "c++ 13.1.0"');
		expect(bootstrap(["build"]).calls.at(-1)).not.toBe(first);
	});

	it("gets its pnpm through npx where PATH has none, or one of another major version", () => {
		addTools({ ...WORKING_TOOLS, pnpm: "echo 12.0.1", npx: 'record npx "$@"' });
		expect(bootstrap(["build"]).calls[0]).toMatch(new RegExp(`^npx --yes ${WANTED} install `));
		rmSync(join(bin, "pnpm"));
		expect(bootstrap(["build"]).calls.at(-1)).toMatch(new RegExp(`^npx --yes ${WANTED} exec turbo `));
	});

	it("names what is missing and the one command that installs it", () => {
		addTool("apt-get", ":");
		const { status, text } = bootstrap(["demo"]);
		expect(status).toBe(1);
		expect(text).toContain("CMake is missing, a C++ compiler is missing and make is missing");
		expect(text.match(/^ {4}\S.*$/gm)).toHaveLength(1);
		expect(text).toContain("apt-get update && apt-get install -y cmake g++ make");
	});

	it("notices a compiler that has no C++20", () => {
		addTools({ ...WORKING_TOOLS, "c++": '[ "$1" = --version ] && echo "c++ 7.5.0"' });
		const { status, text } = bootstrap(["test"]);
		expect(status).toBe(1);
		expect(text).toContain("the C++ compiler (c++ 7.5.0) does not compile C++20");
	});

	it("notices an old CMake", () => {
		addTools({ ...WORKING_TOOLS, cmake: 'echo "cmake version 3.16.3"' });
		expect(bootstrap(["test"]).text).toContain("CMake 3.16 is too old");
	});

	it("notices an old Node", () => {
		const preload = join(scratch, "old-node.cjs");
		writeFileSync(preload, 'Object.defineProperty(process, "versions", { value: { node: "18.20.1" } });');
		const { status, text } = bootstrap(["demo"], {}, ["--require", preload]);
		expect(status).toBe(1);
		expect(text).toContain("needs Node 20.19 or later, and this is Node 18.20.1");
	});

	it("gives the tools a home of their own where HOME is of no use", () => {
		addTools(WORKING_TOOLS);
		for (const HOME of ["", "/dev/null"]) {
			const { status, calls } = bootstrap(["build"], { HOME });
			expect(status).toBe(0);
			expect(calls.at(-1)).toContain(`HOME=${join(clone, ".turbo", "home")} `);
		}
	});

	it("says that the registry is needed when the installation fails", () => {
		addTools({ ...WORKING_TOOLS, pnpm: '[ "$1" = --version ] && echo 10.0.0 && exit 0; exit 7' });
		const { status, text } = bootstrap(["test"]);
		expect(status).toBe(1);
		expect(text).toContain("Installing the packages failed");
	});

	it("says that the build failed when it does", () => {
		addTools({ ...WORKING_TOOLS, pnpm: '[ "$1" = --version ] && echo 10.0.0 && exit 0; [ "$1" = install ]' });
		const { status, text } = bootstrap(["test"]);
		expect(status).toBe(1);
		expect(text).toContain("The build failed");
	});

	it("says that npm is missing where neither pnpm nor npx is there", () => {
		const { pnpm, ...others } = WORKING_TOOLS;
		addTools(others);
		const { status, text } = bootstrap(["test"]);
		expect(status).toBe(1);
		expect(text).toContain("npx is not on PATH");
	});

	it.each([
		["with;semicolon", "build", '";" in its path'],
		["with:colon", "build", '":" in its path'],
		["with#hash", "test", '"#" in its path'],
	])("refuses the folder %s for %s", (name, target, message) => {
		addTools(WORKING_TOOLS);
		const moved = join(scratch, name);
		cpSync(clone, moved, { recursive: true });
		clone = moved;
		const { status, text, calls } = bootstrap([target]);
		expect({ status, calls }).toEqual({ status: 1, calls: [] });
		expect(text).toContain(message);
	});

	it("passes on the target's exit code and arguments", () => {
		addTools(WORKING_TOOLS);
		writeFileSync(join(clone, "scripts", "demo.mjs"), "console.log(process.argv.slice(2)); process.exit(9);");
		const { status, text } = bootstrap(["demo", "--seed", "a b"]);
		expect(status).toBe(9);
		expect(text).toContain("[ '--seed', 'a b' ]");
	});

	it("knows its targets", () => {
		const { status, text } = bootstrap(["tset"]);
		expect(status).toBe(2);
		expect(text).toContain("Usage: node scripts/bootstrap.mjs <build|demo|test>");
	});
});
