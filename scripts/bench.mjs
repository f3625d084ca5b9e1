// Kernel microbenchmarks: `pnpm bench [--device cpu] [--json] [--filter TEXT] [--docs]`.
//
// Builds native/bench into a folder of its own, with oneDNN beside our kernels where the system has it, and runs it. --docs writes the
// table, with the machine it ran on, into docs/benchmarks.md. Nothing else should run on the machine meanwhile.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const BEGIN = "<!-- benchmarks: written by `pnpm bench --docs` -->";
const END = "<!-- end of benchmarks -->";

function fail(message) {
	console.error(message);
	process.exit(1);
}

function parseOptions(args) {
	const options = { device: "cpu", json: false, docs: false, filter: [] };
	for (let i = 0; i < args.length; i++) {
		const value = () => args[++i] ?? fail(`bench: ${args[i - 1]} needs a value`);
		if (args[i] === "--json") options.json = true;
		else if (args[i] === "--docs") options.docs = true;
		else if (args[i] === "--filter") options.filter = ["--filter", value()];
		else if (args[i] === "--device") options.device = value();
		else fail(`bench: there is no option ${args[i]}; choose from --device, --json, --filter and --docs`);
	}
	if (options.device !== "cpu" && options.device !== "auto")
		fail(`bench: there are no kernels for the device "${options.device}" yet; use --device cpu`);
	return options;
}

function run(command, args) {
	const { status, error } = spawnSync(command, args, { stdio: ["ignore", "ignore", "inherit"] });
	if (error) fail(`bench: ${command} does not run (${error.code}); \`npm test\` says how to install what is missing`);
	if (status !== 0) fail(`bench: ${command} ${args.join(" ")} failed`);
}

function build() {
	const folder = join(root, "build-bench");
	const onednn = ["/usr/include/dnnl.hpp", "/usr/local/include/dnnl.hpp", "/opt/homebrew/include/dnnl.hpp"].some(
		existsSync,
	);
	run("cmake", [
		...["-S", join(root, "native"), "-B", folder, "-DCMAKE_BUILD_TYPE=Release", "-DDD_CUDA=OFF"],
		`-DDD_ONEDNN=${onednn ? "ON" : "OFF"}`,
	]);
	run("cmake", ["--build", folder, "--target", "engine_bench", "--parallel", String(Math.max(1, cpus().length))]);
	return join(folder, "bench", "engine_bench");
}

const number = (value, digits = 0) => (value === null || value === undefined ? "" : value.toFixed(digits));

function table({ machine, peakGflops, peakGbps, rows }) {
	const commit =
		spawnSync("git", ["rev-parse", "--short", "HEAD"], { cwd: root, encoding: "utf8" }).stdout?.trim() ||
		"a tree without git";
	const ratios = rows.filter((row) => row.onednn).map((row) => row.gflops / row.onednn);
	const mean = ratios.length ? Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length) : null;
	return [
		`${machine}; ${commit}; ${new Date().toISOString().slice(0, 10)}. Measured peak: ${number(peakGflops)} GFLOP/s (FMA loop), ${number(peakGbps, 1)} GB/s (memcpy, read + write).`,
		...(mean
			? [
					"",
					`Against oneDNN over the rows that have it: geometric mean ${number(mean, 2)}, lowest ${number(Math.min(...ratios), 2)}.`,
				]
			: []),
		"",
		"| kernel | rate | of peak | oneDNN | ratio |",
		"|---|---:|---:|---:|---:|",
		...rows.map(
			(row) =>
				`| ${row.name} | ${row.gflops ? `${number(row.gflops)} GFLOP/s` : `${number(row.gbps, 1)} GB/s`} | ${number(row.percentOfPeak)} % | ${number(row.onednn)} | ${row.onednn ? number(row.gflops / row.onednn, 2) : ""} |`,
		),
	].join("\n");
}

function writeDocs(result) {
	const path = join(root, "docs", "benchmarks.md");
	const text = readFileSync(path, "utf8");
	const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
	if (begin < 0 || end < begin) fail(`bench: ${path} has lost its markers "${BEGIN}" and "${END}"`);
	writeFileSync(path, `${text.slice(0, begin + BEGIN.length)}\n\n${table(result)}\n\n${text.slice(end)}`);
}

const options = parseOptions(process.argv.slice(2));
const bench = build();
const { status, stdout } = spawnSync(bench, ["--json", ...options.filter], {
	encoding: "utf8",
	stdio: ["ignore", "pipe", "inherit"],
});
if (status !== 0) fail("bench: the benchmark failed");
const result = JSON.parse(stdout);
if (options.docs) writeDocs(result);
console.log(options.json ? JSON.stringify(result, null, "\t") : table(result));
