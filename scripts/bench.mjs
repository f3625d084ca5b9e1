// Kernel microbenchmarks: `pnpm bench [--device cpu] [--json] [--filter TEXT] [--docs]`.
//
// Builds native/bench into a folder of its own, with oneDNN beside our kernels where the system has it, and runs it. --docs writes the
// table, with the machine it ran on, into docs/benchmarks.md. Nothing else should run on the machine meanwhile.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { measuredOn, writeTable } from "./docs-table.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));

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
	const ratio = (row) => row.gflops / row.onednn;
	const compared = rows.filter((row) => row.onednn).sort((a, b) => ratio(a) - ratio(b));
	const mean = Math.exp(compared.reduce((sum, row) => sum + Math.log(ratio(row)), 0) / compared.length);
	return [
		`${measuredOn(machine)}. Measured peak: ${number(peakGflops)} GFLOP/s (FMA loop), ${number(peakGbps, 1)} GB/s (memcpy, read + write).`,
		...(compared.length > 0
			? [
					"",
					`Against oneDNN over the ${compared.length} rows that have it: geometric mean ${number(mean, 2)}; lowest ${compared
						.slice(0, 3)
						.map((row) => `${number(ratio(row), 2)} (${row.name})`)
						.join(", ")}.`,
				]
			: []),
		"",
		"| kernel | rate | of peak | oneDNN | ratio |",
		"|---|---:|---:|---:|---:|",
		...rows.map(
			(row) =>
				`| ${row.name} | ${row.gflops ? `${number(row.gflops)} GFLOP/s` : `${number(row.gbps, 1)} GB/s`} | ${number(row.percentOfPeak)} % | ${number(row.onednn)} | ${row.onednn ? number(ratio(row), 2) : ""} |`,
		),
	].join("\n");
}

const options = parseOptions(process.argv.slice(2));
const bench = build();
const { status, stdout } = spawnSync(bench, ["--json", ...options.filter], {
	encoding: "utf8",
	stdio: ["ignore", "pipe", "inherit"],
});
if (status !== 0) fail("bench: the benchmark failed");
const result = JSON.parse(stdout);
if (options.docs) writeTable("benchmarks", table(result));
console.log(options.json ? JSON.stringify(result, null, "\t") : table(result));
