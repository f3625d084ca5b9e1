// What the engine costs beside its kernels: `pnpm bench:runtime [--json] [--docs]`. --docs writes the table into docs/benchmarks.md.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { add, gradients, linear, mean, mul, openDevice, silu, square, sub } from "@dreamdist/core";
import { describeMachine, measuredOn, writeTable } from "./docs-table.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const { values: options } = parseArgs({
	options: { json: { type: "boolean", default: false }, docs: { type: "boolean", default: false } },
});

const fastest = (times) => Math.min(...times);
const median = (times) => times.toSorted((a, b) => a - b)[times.length >> 1];
const repeat = async (count, measure) => {
	const found = [];
	for (let i = 0; i < count; i++) found.push(await measure());
	return found;
};

/** Microseconds of a run whose one kernel adds 1 to four numbers, less that kernel's own. */
async function trivialRun(device) {
	const program = await device.compile((graph) => ({ y: add(graph.input("x", [4]), 1) }));
	const x = new Float32Array(4);
	const runs = 500;
	const times = await repeat(30, async () => {
		const start = performance.now();
		for (let i = 0; i < runs; i++) await program.run({ x });
		return ((performance.now() - start) / runs) * 1000;
	});
	const profile = await program.profile({ x });
	program.dispose();
	return fastest(times) - profile.reduce((total, { microseconds }) => total + microseconds, 0);
}

/** Milliseconds from a graph's first node to its program, with the gradients of all its weights, and the number of nodes. */
async function compileLayers(device, layers) {
	let nodes = 0;
	const start = performance.now();
	const program = await device.compile((graph) => {
		let x = graph.input("x", [8, 16]);
		const weights = Array.from({ length: layers }, (_, i) => graph.input(`w${i}`, [16, 16]));
		for (const weight of weights) {
			const centred = sub(x, mean(x, -1, { keepDims: true }));
			x = add(x, silu(linear(mul(centred, 0.5), weight)));
		}
		const loss = mean(square(x));
		const found = gradients(loss, weights);
		nodes = graph.nodes.length;
		return Object.fromEntries([["loss", loss], ...found.map((gradient, i) => [`g${i}`, gradient])]);
	});
	const milliseconds = performance.now() - start;
	program.dispose();
	return { nodes, milliseconds };
}

/** Milliseconds of a process. */
function processTime(args) {
	const start = performance.now();
	const { status } = spawnSync(process.execPath, args, { stdio: "ignore" });
	if (status !== 0) throw new Error(`node ${args.join(" ")} ended with ${status}`);
	return performance.now() - start;
}

async function measure() {
	const device = await openDevice("cpu");
	const overhead = await trivialRun(device);
	const first = await compileLayers(device, 160);
	const later = await repeat(5, () => compileLayers(device, 160));
	const machine = describeMachine(device);
	device.dispose();
	const help = await repeat(9, () => processTime([join(root, "packages", "cli", "bin", "dreamdist.js"), "--help"]));
	const node = await repeat(9, () => processTime(["-e", "0"]));
	return {
		machine,
		rows: [
			{ name: "a run of a program of one small kernel, beside the kernel", value: overhead, unit: "µs" },
			{ name: `compiling ${first.nodes} nodes, gradient included, first`, value: first.milliseconds, unit: "ms" },
			{ name: "the same again", value: median(later.map(({ milliseconds }) => milliseconds)), unit: "ms" },
			{ name: "`dreamdist --help`", value: median(help), unit: "ms" },
			{ name: "`node -e 0`, for comparison", value: median(node), unit: "ms" },
		],
	};
}

function table({ machine, rows }) {
	return [
		`${measuredOn(machine)}.`,
		"",
		"| what | time |",
		"|---|---:|",
		...rows.map(({ name, value, unit }) => `| ${name} | ${value.toFixed(0)} ${unit} |`),
	].join("\n");
}

const result = await measure();
if (options.docs) writeTable("runtime benchmarks", table(result));
console.log(options.json ? JSON.stringify(result, null, "\t") : table(result));
