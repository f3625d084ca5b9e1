// `dreamdist verify`: proves that a device computes what the reference libraries compute.
import type { CaseResult } from "@dreamdist/models";
import type { Command } from "commander";
import { addExample } from "../common-options.js";
import type { CommandContext, CommandModule } from "../context.js";
import { UsageError } from "../errors.js";
import { userPath } from "../paths.js";

function line({ name, kind, error, bound, pass, message }: CaseResult): string {
	const numbers = error === null ? "" : `  ${error.toExponential(2)} (at most ${bound.toExponential(0)})`;
	return `${pass ? "pass" : "FAIL"}  ${name}  [${kind}]${numbers}${message === undefined ? "" : `  ${message}`}`;
}

async function run({ args, options, output, signal, directory }: CommandContext): Promise<number> {
	const activations = options.dtype ?? "f32";
	if (activations !== "f32" && !options.device.startsWith("cuda"))
		throw new UsageError(`The CPU computes in f32; --dtype ${activations} verifies a card, with --device cuda.`);
	const tf32 = options.tf32 ?? false;
	const { openDevice } = await import("@dreamdist/core");
	const { MODEL_CASE_KINDS, verifyBuiltIn, verifySet } = await import("@dreamdist/models");
	const { METRIC_CASE_KINDS } = await import("@dreamdist/eval");
	const device = await openDevice(options.device, { activations, tf32 });
	// What low precision is measured by: the same graphs, op by op, each result (in tf32 each operand of a product) rounded.
	const yardstick =
		activations === "f32" && !tf32 ? undefined : await openDevice("cpu", { activations, tf32, unfused: true });
	try {
		output.notice(`Verifying ${device}`);
		const how = { device, yardstick, signal, onCase: (result: CaseResult) => output.notice(line(result)) };
		const kinds = { ...MODEL_CASE_KINDS, ...METRIC_CASE_KINDS };
		const folder = args[0] === undefined ? undefined : userPath(String(args[0]), directory);
		const report = folder === undefined ? await verifyBuiltIn(device, how) : await verifySet(folder, { ...how, kinds });
		output.result(report, ({ cases, passed, failed, launches }) =>
			[
				...(options.quiet ? cases.filter(({ pass }) => !pass).map(line) : []),
				`${passed} of ${cases.length} cases pass${failed > 0 ? `, ${failed} fail` : ""} on ${report.device} (${launches} kernel launches).`,
			].join("\n"),
		);
		return report.failed === 0 ? 0 : 1;
	} finally {
		yardstick?.dispose();
		device.dispose();
	}
}

const verify: CommandModule = {
	computes: true,
	configure(command: Command) {
		command.argument("[set]", "folder of a reference set; without one, checks that need no files");
		addExample(
			command,
			"verify ../shared/reference/tiny-sd21 --device cpu",
			"The exit code is 0 only when every case passes. Errors are relative, in the norm of each tensor. With --dtype bf16\n" +
				"or f16 a card may be off by twice (where steps follow on each other, three times) what the same computation is\n" +
				"whose every result is rounded to that type; with --tf32, whose products' operands are rounded to tf32.",
		);
	},
	run,
};
export default verify;
