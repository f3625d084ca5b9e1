// The doctor's report as text.
import pc from "picocolors";
import type { DoctorReport } from "./report.js";

const LABEL_WIDTH = 14;

function gigabytes(bytes: number): string {
	return `${(bytes / 1e9).toFixed(1)} GB`;
}

function row(label: string, text: string): string {
	return `  ${label.padEnd(LABEL_WIDTH)} ${text.replaceAll("\n", `\n${" ".repeat(LABEL_WIDTH + 3)}`)}`;
}

function engineRows(report: DoctorReport): string[] {
	const { engine } = report;
	if (!engine.loaded) return [row("", engine.error)];
	const { build } = engine;
	const rows = [
		row("addon", `${engine.path} (${engine.origin})`),
		row("compiler", `${engine.compiler}, ${engine.buildType}`),
		row("CUDA", engine.cuda ? `yes${build?.cuda.compiler ? ` (${build.cuda.compiler})` : ""}` : "no"),
	];
	if (build !== null) {
		rows.push(row("flags", build.flags));
		rows.push(
			row("built", `${build.date} with CMake ${build.cmake} (${build.generator})${build.oneDnn ? ", oneDNN" : ""}`),
		);
	}
	return rows;
}

function processorRows({ processor }: DoctorReport): string[] {
	const sets = processor.instructionSets;
	const rows = [
		row("model", `${processor.model}, ${processor.cores} cores`),
		row("threads", processor.threads === null ? "none" : `${processor.threads} (from ${processor.threadsFrom})`),
	];
	if (sets !== null) {
		rows.push(
			row(
				"instructions",
				`${sets.inUse ?? "none"} in use; usable: ${sets.usable.join(", ")}; compiled: ${sets.built.join(", ")}`,
			),
		);
	}
	return rows;
}

/** The whole report, a section a heading. */
export function renderReport(report: DoctorReport): string {
	const { versions, memory } = report;
	const limit = memory.limitBytes === null ? "no limit" : `limit ${gigabytes(memory.limitBytes)}`;
	const packages = Object.entries(versions.packages).map(([name, version]) => `${name} ${version}`);
	const sections: [string, string[]][] = [
		[
			"Versions",
			[
				row("dreamdist", versions.dreamdist),
				row("packages", packages.join(", ")),
				row("node", versions.node),
				row("system", versions.libc === null ? versions.system : `${versions.system}, ${versions.libc}`),
			],
		],
		["Engine", engineRows(report)],
		["Processor", processorRows(report)],
		[
			"Memory",
			[row("", `${gigabytes(memory.totalBytes)} in all, ${gigabytes(memory.availableBytes)} available, ${limit}`)],
		],
		[
			"Devices",
			report.devices.map(({ name, available, detail, reason }) =>
				available
					? row(name, `${pc.green("available")}: ${detail}`)
					: row(name, `${pc.yellow("not available")}: ${reason}`),
			),
		],
	];
	const text = sections.map(([title, rows]) => [pc.bold(title), ...rows].join("\n"));
	const verdict = report.ok
		? pc.green(`Ready: work runs on ${report.device.name}.`)
		: report.problems.map((problem) => pc.red(problem)).join("\n");
	return [...text, verdict].join("\n\n");
}
