// The kit from end to end on a machine without a card: packs it, unpacks it in an empty folder with nothing on PATH but POSIX tools, and
// runs the suite on the emulated device. `node scripts/gpu/try.mjs [--addon FOLDER]`; the last line counts the checks.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { which } from "../../packages/native-cuda/scripts/toolchain.mjs";
import { CANNOT_RUN } from "../counts.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
/** What the script may call; POSIX has all of them. */
const TOOLS = ["sh", "cat", "chmod", "cp", "dirname", "mkdir", "rm"];

if (process.platform !== "linux" || process.arch !== "x64" || which("xz") === undefined) {
	console.log("Skipped: the kit is packed on Linux x64 with xz.");
	process.exit(CANNOT_RUN);
}
const folder = mkdtempSync(join(tmpdir(), "dreamdist-try-"));
let status = 1;
try {
	const [packed, empty, tools, temporary] = ["packed", "empty", "tools", "tmp"].map((name) => join(folder, name));
	const pack = [
		join(here, "pack.mjs"),
		"--no-build",
		"--emulated",
		"--level",
		"0",
		"--out",
		packed,
		...process.argv.slice(2),
	];
	const packing = spawnSync(process.execPath, pack, { stdio: "inherit" });
	if (packing.status === 0) {
		for (const path of [tools, temporary]) mkdirSync(path);
		for (const tool of TOOLS) symlinkSync(which(tool), join(tools, tool));
		cpSync(packed, empty, { recursive: true });
		const suite = spawnSync(
			join(tools, "sh"),
			[join(empty, "gpu-suite.sh"), "--device", "cuda-emulated", "--quick", "--out", join(folder, "results")],
			{ stdio: "inherit", cwd: empty, env: { PATH: tools, TMPDIR: temporary } },
		);
		status = suite.status ?? 1;
	}
} finally {
	rmSync(folder, { recursive: true, force: true });
}
process.exit(status);
