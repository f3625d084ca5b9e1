// NVIDIA's compute-sanitizer over every kernel on small shapes, where the machine has it.
import { fileURLToPath } from "node:url";
import { findProgram, runProgram } from "../program.mjs";

const TARGET = fileURLToPath(new URL("../small-shapes.mjs", import.meta.url));
const FOLDERS = ["/usr/local/cuda/bin", "/usr/local/cuda/compute-sanitizer", "/opt/nvidia/nsight-compute"];
const FOUND = 33;

export async function run(report, { device, seconds }) {
	if (device === "cuda-emulated") return report.skip("the emulated device checks accesses and races by itself");
	if (device === "cpu") return report.skip("it checks cards only");
	const program = findProgram("compute-sanitizer", FOLDERS);
	if (program === null) return report.skip("this machine has no compute-sanitizer");
	const until = performance.now() + seconds * 1000;
	for (const tool of ["memcheck", "racecheck", "synccheck"]) {
		const left = (until - performance.now()) / 1000 - 2;
		if (left < 5) {
			report.note(`${tool} was left out for lack of time`);
			continue;
		}
		const args = [
			"--tool",
			tool,
			"--error-exitcode",
			String(FOUND),
			"--print-limit",
			"20",
			process.execPath,
			TARGET,
			device,
		];
		const { code, timedOut, output } = await runProgram(program, args, {
			seconds: tool === "memcheck" ? left * 0.6 : left,
			onLine: (text) => process.stderr.write(text),
		});
		if (/Device not supported/i.test(output))
			return report.skip("compute-sanitizer does not support this machine's device");
		const verdict =
			/ERROR SUMMARY: .*|RACECHECK SUMMARY: .*/.exec(output)?.[0] ?? output.trim().split("\n").at(-1) ?? "";
		if (timedOut) report.note(`${tool} took longer than its ${left.toFixed(0)} s and was ended`);
		else report.check(`compute-sanitizer ${tool}`, code === 0, verdict.slice(0, 200));
	}
}
