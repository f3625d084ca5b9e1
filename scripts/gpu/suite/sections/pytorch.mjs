// The same networks and the same step in plain PyTorch, on the same card in the same run: eager, and compiled.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { runProgram } from "../program.mjs";
import { compiledFile, compiledLog, scriptArguments, whyNoTorch } from "../python.mjs";

/** Takes the lines that the script wrote; true once it has said that it is done. */
function take(report, lines) {
	let done = false;
	for (const line of lines) {
		let message;
		try {
			message = JSON.parse(line);
		} catch {
			continue; // a warning of PyTorch's
		}
		if (message.row) report.row(message.row);
		if (message.error) report.check(message.error, false);
		if (message.note) report.fact("torchNetworks", message.note);
		done ||= message.done === true;
	}
	return done;
}

export async function run(report, settings) {
	const { facts, seconds } = settings;
	const reason = whyNoTorch(facts);
	if (reason !== null) return report.skip(reason);
	const until = performance.now() + seconds * 1000 - 3000;
	const eager = await runProgram(facts.python, scriptArguments("eager", settings), { seconds: seconds * 0.6 });
	const finished = take(report, eager.output.split("\n"));
	report.check(
		"PyTorch, eager, runs to its end",
		finished,
		finished ? "" : (eager.output.trim().split("\n").at(-1) ?? ""),
	);
	if (!existsSync(compiledFile(settings, "ready"))) {
		const last = existsSync(compiledLog(settings))
			? readFileSync(compiledLog(settings), "utf8").trim().split("\n").at(-1)
			: "";
		return report.note(
			`PyTorch's compiler was not ready in time and was ended${last ? `; its last line: ${last}` : ""}`,
		);
	}
	writeFileSync(compiledFile(settings, "go"), "");
	const lines = () => readFileSync(compiledLog(settings), "utf8").split("\n");
	const isDone = () => lines().some((line) => line.includes('"done"'));
	while (performance.now() < until && !isDone()) await sleep(200);
	const compiled = take(report, lines());
	report.check("PyTorch, compiled, runs to its end", compiled, compiled ? "" : "it took too long");
}
