// The options that every command has.
import { type Command, InvalidArgumentError, Option } from "commander";

export type DType = "f32" | "bf16" | "f16";

export interface CommonOptions {
	/** auto, cpu, cuda, cuda:<index> or cuda-emulated. */
	device: string;
	/** Undefined: the command's own choice. */
	dtype?: DType;
	/** Products of f32 in tf32. Undefined: not asked for, or a command that computes nothing on the device. */
	tf32?: boolean;
	json: boolean;
	quiet: boolean;
}

function parseDevice(value: string): string {
	if (/^(auto|cpu|cuda(:\d+)?|cuda-emulated)$/.test(value)) return value;
	throw new InvalidArgumentError("Devices are auto, cpu, cuda, cuda:<index> and cuda-emulated.");
}

/** A whole number above 0. */
export function parseCount(value: string): number {
	if (/^[1-9]\d{0,14}$/.test(value)) return Number(value);
	throw new InvalidArgumentError("It must be a whole number above 0.");
}

/** A number above 0. */
export function parsePositive(value: string): number {
	const number = Number(value);
	if (value.trim() !== "" && Number.isFinite(number) && number > 0) return number;
	throw new InvalidArgumentError("It must be a number above 0.");
}

/** A seed: a whole number of 32 bits. */
export function parseSeed(value: string): number {
	const number = Number(value);
	if (/^\d+$/.test(value) && number < 2 ** 32) return number;
	throw new InvalidArgumentError(`It must be a whole number from 0 to ${2 ** 32 - 1}.`);
}

/** Adds --device, --dtype, --json and --quiet to a command, and --tf32 to one that computes on the device. */
export function addCommonOptions(command: Command, computes: boolean): void {
	command
		.addOption(
			new Option("--device <device>", "auto, cpu, cuda[:index] or cuda-emulated")
				.argParser(parseDevice)
				.default("auto"),
		)
		.addOption(
			new Option("--dtype <dtype>", "type of weights; on CUDA devices of activations too").choices([
				"f32",
				"bf16",
				"f16",
			]),
		)
		.option("--json", "print JSON instead of text: one document, or from train a line an event, the result last", false)
		.option("--quiet", "print nothing but errors and results", false);
	if (computes)
		command.option(
			"--tf32",
			"on CUDA devices: products of f32 in tf32, several times faster, with 10 bits after the point",
		);
}

/** Adds an example, and what else is worth saying, to the end of a command's help. `line` follows the program's name. */
export function addExample(command: Command, line: string, remark?: string): Command {
	return command.addHelpText(
		"after",
		`\nExample:\n  $ dreamdist ${line}${remark === undefined ? "" : `\n\n${remark}`}`,
	);
}
