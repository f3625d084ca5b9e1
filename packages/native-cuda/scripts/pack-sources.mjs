// Run by `pnpm pack`: the published package carries the engine's sources, so that it can be built where there is no prebuilt binary.
//   node scripts/pack-sources.mjs copy    ../../native → native/
//   node scripts/pack-sources.mjs remove
import { cpSync, rmSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const packageRoot = dirname(dirname(fileURLToPath(import.meta.url)));
const copy = join(packageRoot, "native");
const LEFT_OUT = ["test", "bench", "build", join("cuda", "test"), join("cuda", "emulated")];

rmSync(copy, { recursive: true, force: true });
if (process.argv[2] === "copy") {
	const sources = join(packageRoot, "..", "..", "native");
	cpSync(sources, copy, {
		recursive: true,
		filter: (path) => !LEFT_OUT.some((name) => relative(sources, path).split("-")[0] === name),
	});
}
