// The kernels of sm_90a (wgmma, TMA), which are not the default before this section has passed on a card: each family in a process of its
// own with DD_HOPPER set to its name, so that one that hangs is ended and the others still tell.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runProgram } from "../program.mjs";

const PART = fileURLToPath(new URL("../hopper-part.mjs", import.meta.url));
export const FAMILIES = ["matmul", "conv2d", "conv2d_input_grad", "attention", "attention_grad"];

export async function run(report, { device, quick, facts, seconds, work }) {
	if (!device.startsWith("cuda:")) return report.skip("the Hopper kernels need a card: wgmma and TMA are not emulated");
	if (facts.capability !== "9.0")
		return report.skip(`the Hopper kernels need a card of compute capability 9.0, not ${facts.capability}`);
	for (const [i, family] of FAMILIES.entries()) {
		const until = seconds / (FAMILIES.length - i);
		const started = performance.now();
		const result = join(work, `hopper-${family}.json`);
		const settings = JSON.stringify({ family, device, quick, card: facts.card, seconds: until - 5 });
		const { code, timedOut, output } = await runProgram(process.execPath, [PART, settings, result], {
			seconds: until,
			env: { ...process.env, DD_HOPPER: family },
			onLine: (text) => process.stderr.write(text),
		});
		seconds -= (performance.now() - started) / 1000;
		let found = { checks: [], rows: [], notes: [] };
		try {
			found = JSON.parse(readFileSync(result, "utf8"));
		} catch {
			// It ended before it had begun; the check below says so.
		}
		for (const { name, pass, detail } of found.checks) report.check(`${family}: ${name}`, pass, detail);
		for (const row of found.rows) report.row(row);
		for (const note of found.notes) report.note(`${family}: ${note}`);
		const ending = timedOut ? `ended after ${until.toFixed(0)} s: does it hang?` : `its process ended with ${code}`;
		report.check(`${family} runs to its end`, code === 0 && !timedOut, code === 0 ? "" : ending);
		// What it leaves to the kernels of sm_80, by name.
		for (const line of new Set(output.match(/^DD_HOPPER: .*$/gm))) report.note(`${family}: ${line}`);
	}
}
