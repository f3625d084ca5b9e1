// `dreamdist --help` answers at once because it loads next to nothing: that is what is measured here, since a time would
// depend on the machine. Runs the built command.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const command = fileURLToPath(new URL("../bin/dreamdist.js", import.meta.url));

/** The files that a command line loads, from V8's coverage of the process. */
function loadedFiles(args: readonly string[]): string[] {
	const folder = mkdtempSync(join(tmpdir(), "dreamdist-startup-"));
	try {
		const env = { ...process.env, NODE_V8_COVERAGE: folder };
		const { status, stderr } = spawnSync(process.execPath, [command, ...args], { encoding: "utf8", env });
		expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
		return readdirSync(folder).flatMap((name) => {
			const coverage = JSON.parse(readFileSync(join(folder, name), "utf8")) as { result: { url: string }[] };
			return coverage.result.map(({ url }) => url).filter((url) => url.startsWith("file:"));
		});
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}

it.each([[["--help"]], [["--version"]], [["doctor", "--help"]], [["help", "native"]]])(
	"loads nothing but commander and the frame for %j",
	(args) => {
		const files = loadedFiles(args);
		expect(files.some((url) => url.endsWith("/cli/dist/main.js"))).toBe(true);
		const foreign = files.filter((url) => !/\/packages\/cli\/(bin|dist)\/|\/node_modules\/commander\//.test(url));
		expect(foreign).toEqual([]);
		const modules = files.filter((url) => url.includes("/cli/dist/commands/"));
		expect(modules.length).toBe(args[0]?.startsWith("-") ? 0 : 1);
	},
);
