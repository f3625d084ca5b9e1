// Run by `pnpm pack`: the published package carries the engine's sources, so that it can be built where there is no prebuilt binary.
//   node scripts/pack-sources.mjs copy    ../../native → native/
//   node scripts/pack-sources.mjs remove
import { cpSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const packageRoot = dirname(dirname(fileURLToPath(import.meta.url)));
const copy = join(packageRoot, "native");
const LEFT_OUT = ["test", "bench", "build"];

rmSync(copy, { recursive: true, force: true });
if (process.argv[2] === "copy") {
	const sources = join(packageRoot, "..", "..", "native");
	cpSync(sources, copy, {
		recursive: true,
		filter: (path) => dirname(path) !== sources || !LEFT_OUT.some((name) => basename(path).split("-")[0] === name),
	});
}
