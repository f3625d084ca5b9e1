// Puts what the GPU suite measured on a card into docs/benchmarks.md: `pnpm bench:docs gpu-suite.json [--docs FILE]`.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { writeTable } from "../docs-table.mjs";
import { comparisons, digits } from "./suite/summary.mjs";

function stop(message) {
	console.error(`bench:docs: ${message}`);
	process.exit(1);
}

function readOptions() {
	try {
		const { values, positionals } = parseArgs({
			allowPositionals: true,
			options: { docs: { type: "string" } },
		});
		if (positionals.length !== 1)
			stop("it takes one file, the gpu-suite.json that scripts/gpu/gpu-suite.sh left in its folder");
		return { ...values, file: positionals[0] };
	} catch (error) {
		return stop(error.message);
	}
}

function readReport(file) {
	let report;
	try {
		report = JSON.parse(readFileSync(file, "utf8"));
	} catch (error) {
		return stop(`${file} can't be read: ${error.message}`);
	}
	if (report.format !== 1 || !Array.isArray(report.sections)) stop(`${file} is no report of the GPU suite`);
	const facts = Object.assign({}, ...report.sections.map((section) => section.facts));
	if (!/^cuda(:\d+)?$/.test(report.device) || !facts.card)
		stop(`${file} is of ${report.device}, and the table is of cards`);
	if (report.quick) stop(`${file} is of a --quick run, whose shapes are too small to say anything`);
	return { ...report, facts };
}

const cell = (text) => String(text ?? "").replaceAll("|", "\\|");

function verdict({ name, status, checks, skipped, ending, seconds }) {
	const passed = checks.filter(({ pass }) => pass).length;
	const what = [
		checks.length > 0 ? `${passed} of ${checks.length}` : "",
		skipped ?? "",
		ending ?? "",
		...checks.filter(({ pass }) => !pass).map((check) => `${check.name}: ${check.detail}`),
	];
	return `| ${name} | ${status} | ${cell(what.filter(Boolean).join("; "))} | ${seconds.toFixed(0)} s |`;
}

function table({ facts, kit, started, sections }) {
	const commit = `${kit.commit}${kit.modified ? " with changes" : ""}`;
	const pytorch = facts.torch ? `, PyTorch ${facts.torch}` : "";
	const measured = sections.flatMap(({ rows }) => rows);
	return [
		`${facts.card} (compute capability ${facts.capability}, ${facts.cardGiB.toFixed(0)} GiB), driver ${facts.driver ?? "unknown"}, ` +
			`CUDA ${kit.engine?.cuda?.compiler ?? "unknown"}${pytorch}; commit ${commit}; ${started.slice(0, 10)}.`,
		"",
		"| section | | checks | time |",
		"|---|---|---|---:|",
		...sections.map(verdict),
		"",
		"| measured | | of the floor | |",
		"|---|---:|---:|---|",
		...[...measured, ...comparisons(measured)].map(({ name, value, unit, floor, detail }) => {
			const share = floor === null || floor === undefined ? "" : `${(100 * floor).toFixed(0)} %`;
			return `| ${cell(name)} | ${digits(value)} ${unit} | ${share} | ${cell(detail)} |`;
		}),
	].join("\n");
}

const options = readOptions();
writeTable("card benchmarks", table(readReport(options.file)), options.docs);
