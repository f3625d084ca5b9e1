// The suite: every section in a process of its own with a budget of time, one table at the end, everything as JSON in a folder.
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { DTYPES } from "./arithmetic.mjs";
import { runProgram } from "./program.mjs";
import { compiledLog, prepareCompiled } from "./python.mjs";
import { judge, summary, table } from "./summary.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));

// In this order: what is cheap and what must hold first, then what is measured. Seconds are for a card; `quick` for --quick.
const SECTIONS = [
	{ name: "machine", seconds: 30, quick: 30 },
	{ name: "ops", seconds: 90, quick: 150 },
	{ name: "networks", seconds: 60, quick: 90 },
	{ name: "prompts", seconds: 60, quick: 120 },
	{ name: "sanitizer", seconds: 90, quick: 60 },
	{ name: "model", seconds: 90, quick: 30 },
	{ name: "kernels", seconds: 90, quick: 60, timed: true },
	{ name: "step", seconds: 70, quick: 90, timed: true },
	{ name: "sampling", seconds: 50, quick: 60, timed: true },
	{ name: "hopper", seconds: 90, quick: 30, timed: true },
	{ name: "pytorch", seconds: 120, quick: 60, timed: true },
	{ name: "tuning", seconds: 60, quick: 90, timed: true },
];

function stop(message) {
	console.error(`gpu-suite: ${message}`);
	process.exit(2);
}

function readOptions() {
	let values;
	try {
		({ values } = parseArgs({
			options: {
				device: { type: "string", default: "cuda:0" },
				out: { type: "string", default: process.env.OUT || "gpu-results" },
				quick: { type: "boolean", default: false },
				only: { type: "string" },
				seconds: { type: "string", default: "525" },
				dtypes: { type: "string" },
			},
		}));
	} catch (error) {
		stop(error.message);
	}
	const seconds = Number(values.seconds);
	if (!(seconds > 0)) stop(`--seconds needs a number above 0, not ${values.seconds}`);
	const names = SECTIONS.map(({ name }) => name);
	const only = values.only?.split(",") ?? names;
	// Whole networks are compared in f32 whatever is asked for.
	const dtypes = (values.dtypes ?? (values.quick ? "bf16" : "bf16,f32,tf32")).split(",");
	const strange = dtypes.find((dtype) => !DTYPES.includes(dtype));
	if (strange !== undefined) stop(`--dtypes takes ${DTYPES.join(", ")}, separated by commas, not "${strange}"`);
	const unknown = only.find((name) => !names.includes(name));
	if (unknown !== undefined) stop(`there is no section "${unknown}"; choose from ${names.join(", ")}`);
	return { ...values, seconds, only, dtypes, out: resolve(values.out) };
}

// Compiling PyTorch's networks takes minutes of processor time: it happens beside the checks, and ends before anything is measured.
const COMPILED_READY_BY = 330;

const LOG = "gpu-suite.log";

const readJson = (file, otherwise) => {
	try {
		return JSON.parse(readFileSync(file, "utf8"));
	} catch {
		return otherwise;
	}
};

async function runSection({ name, seconds }, settings) {
	const started = performance.now();
	const result = join(settings.work, `${name}.json`);
	const { code, timedOut, output } = await runProgram(
		process.execPath,
		[join(here, "child.mjs"), name, JSON.stringify({ ...settings, seconds }), result],
		{ seconds, onLine: (text) => process.stderr.write(text) },
	);
	// One log: the folder may travel back from a machine that lets only a few files through.
	appendFileSync(join(settings.out, LOG), `=== ${name}\n${output}\n`);
	const found = readJson(result, { checks: [], rows: [], facts: {}, notes: [], skipped: null });
	const ending = timedOut
		? `it was ended after ${seconds.toFixed(0)} s`
		: code === 0
			? null
			: `its process ended with ${code ?? "a signal"}`;
	return judge({ name, ...found, seconds: (performance.now() - started) / 1000, ending });
}

async function main() {
	const options = readOptions();
	const kit = readJson(join(here, "..", "kit.json"), {});
	mkdirSync(options.out, { recursive: true });
	const work = join(here, "..", `work-${process.pid}`);
	mkdirSync(work, { recursive: true });
	writeFileSync(join(options.out, LOG), "");
	const settings = {
		device: options.device,
		quick: options.quick,
		work,
		out: options.out,
		dtypes: options.dtypes,
		home: join(here, ".."),
	};
	const deadline = performance.now() + options.seconds * 1000;
	const report = {
		format: 1,
		kit,
		device: options.device,
		quick: options.quick,
		started: new Date().toISOString(),
		sections: [],
	};
	const save = () => writeFileSync(join(options.out, "gpu-suite.json"), `${JSON.stringify(report, null, "\t")}\n`);
	let unavailable = null;
	let compiled = null;
	for (const section of SECTIONS.filter(({ name }) => options.only.includes(name))) {
		if (section.timed && compiled) {
			const latest = deadline - (options.seconds - COMPILED_READY_BY) * 1000;
			while (!existsSync(compiled.ready) && compiled.running() && performance.now() < latest) await sleep(200);
			if (!existsSync(compiled.ready)) compiled.stop();
		}
		const left = (deadline - performance.now()) / 1000;
		const budget = Math.min(options.quick ? section.quick : section.seconds, left);
		const reason = unavailable ?? (left < 3 ? "there was no time left" : null);
		const outcome = reason
			? judge({
					name: section.name,
					checks: [],
					rows: [],
					facts: {},
					notes: [],
					skipped: reason,
					seconds: 0,
					ending: null,
				})
			: await runSection({ name: section.name, seconds: budget }, { ...settings, facts: factsOf(report) });
		report.sections.push(outcome);
		if (section.name === "machine") {
			unavailable = outcome.facts.unavailable ?? null;
			if (unavailable === null && options.only.includes("pytorch")) compiled = prepareCompiled(outcome.facts, settings);
		}
		console.log(summary(outcome));
		save();
	}
	if (compiled) {
		compiled.stop();
		appendFileSync(join(options.out, LOG), `=== pytorch, compiled\n${readFileSync(compiledLog(settings), "utf8")}\n`);
	}
	rmSync(work, { recursive: true, force: true });
	report.seconds = Math.round((deadline - performance.now()) / -1000 + options.seconds);
	save();
	console.log(`\n${table(report)}`);
	return report.sections.every(({ status }) => status !== "failed") ? 0 : 1;
}

/** What the sections before have found out about the machine. */
const factsOf = (report) => Object.assign({}, ...report.sections.map(({ facts }) => facts));

process.exit(await main());
