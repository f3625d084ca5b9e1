// `dreamdist doctor`: what a bug report needs, and why a device is not there.
import type { Command } from "commander";
import { addExample } from "../common-options.js";
import type { CommandContext, CommandModule } from "../context.js";

async function run({ options, output }: CommandContext): Promise<number> {
	const { gatherReport } = await import("../doctor/report.js");
	const { renderReport } = await import("../doctor/render.js");
	const report = await gatherReport(options);
	output.result(report, renderReport);
	return report.ok ? 0 : 1;
}

const doctor: CommandModule = {
	configure(command: Command) {
		addExample(
			command,
			"doctor --json",
			"The exit code is 1 where the engine does not load or the device asked for is not available.",
		);
	},
	run,
};
export default doctor;
