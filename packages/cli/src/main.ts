// The command line: finds the command, loads its module alone, parses, runs it, and turns whatever goes wrong into one
// sentence and an exit code.
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { type CommandRow, commandTable } from "./command-table.js";
import { addCommonOptions, type CommonOptions } from "./common-options.js";
import type { CommandContext } from "./context.js";
import { describeError, EXIT, UsageError } from "./errors.js";
import { Output } from "./output.js";
import { callerDirectory } from "./paths.js";

export type { CommandContext, CommandModule } from "./context.js";
export { CommandError, UsageError } from "./errors.js";

const PROGRAM = "dreamdist";

function version(): string {
	const manifest = readFileSync(new URL("../package.json", import.meta.url), "utf8");
	return (JSON.parse(manifest) as { version: string }).version;
}

/** commander reports mistakes by throwing and is kept from printing or exiting by itself. */
function quiet(command: Command): Command {
	return command
		.exitOverride()
		.configureOutput({ outputError: () => {} })
		.showSuggestionAfterError();
}

/** commander's "error: unknown command 'trian'\n(Did you mean train?)" as one sentence. */
function usageSentence(error: CommanderError, command: string | undefined): string {
	const [problem = "", suggestion] = error.message.replace(/^error: /, "").split("\n");
	const hint = suggestion?.replace(/^\(Did you mean (one of )?(.*)\?\)$/, (_, several: string, names: string) =>
		several ? `did you mean one of ${names}?` : `did you mean ${names}?`,
	);
	const where = command === undefined ? PROGRAM : `${PROGRAM} ${command}`;
	return `${where}: ${problem.replace(/[.]$/, "")}; ${hint ?? `see ${where} --help.`}`;
}

/** The row that the arguments ask for: `train …`, or `help train`. */
function requestedRow(args: readonly string[], table: readonly CommandRow[]): CommandRow | undefined {
	const [first, second] = args;
	const name = first === "help" ? second : first;
	return table.find((row) => row.name === name);
}

/** Everything that one command's arguments amount to, once they are parsed. */
interface Parsed {
	run(context: CommandContext): Promise<number | undefined>;
	command: Command;
}

async function buildProgram(
	args: readonly string[],
	table: readonly CommandRow[],
	onParsed: (parsed: Parsed) => void,
): Promise<Command> {
	const program = quiet(new Command(PROGRAM))
		.description("Learns a distribution of prompts from reference images, and generates new pictures from it.")
		.version(version(), "-V, --version", "print the version")
		.helpOption("-h, --help", "print this help")
		.addHelpText(
			"after",
			`\nExample:\n  $ ${PROGRAM} doctor\n\n'${PROGRAM} <command> --help' describes a command and gives an example.`,
		);
	const requested = requestedRow(args, table);
	for (const row of table) {
		const command = quiet(program.command(row.name, { hidden: row.hidden ?? false })).description(row.summary);
		command.helpOption("-h, --help", "print this help");
		if (row !== requested) continue;
		const module = await row.load();
		module.configure(command);
		for (const leaf of command.commands.length > 0 ? command.commands : [command]) {
			quiet(leaf);
			addCommonOptions(leaf, module.computes ?? false);
			const action = leaf === command ? module.run : module.subcommands?.[leaf.name()];
			if (action === undefined) throw new Error(`The command ${row.name} ${leaf.name()} has no action.`);
			leaf.action(() => onParsed({ run: action, command: leaf }));
		}
	}
	return program;
}

/** The signal that Ctrl-C aborts; a second Ctrl-C ends the process at once. */
function interruptSignal(): { signal: AbortSignal; release(): void } {
	const controller = new AbortController();
	const onInterrupt = () => {
		if (controller.signal.aborted) process.exit(EXIT.interrupted);
		controller.abort();
	};
	process.on("SIGINT", onInterrupt);
	process.on("SIGTERM", onInterrupt);
	return {
		signal: controller.signal,
		release() {
			process.off("SIGINT", onInterrupt);
			process.off("SIGTERM", onInterrupt);
		},
	};
}

/**
 * Runs one command line.
 * @param args what follows the program's name
 * @returns the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted
 */
export async function runCli(args: readonly string[], table: readonly CommandRow[] = commandTable): Promise<number> {
	const wantsJson = args.includes("--json");
	let signal: AbortSignal | undefined;
	try {
		const parsed = await parse(args, table);
		if (parsed === undefined) return EXIT.done;
		const options = parsed.command.opts<CommonOptions>();
		const interrupt = interruptSignal();
		signal = interrupt.signal;
		try {
			const exitCode = await parsed.run({
				args: parsed.command.processedArgs,
				options,
				output: new Output(options),
				signal: interrupt.signal,
				directory: callerDirectory(),
			});
			return exitCode ?? EXIT.done;
		} finally {
			interrupt.release();
		}
	} catch (error) {
		const { message, exitCode } = signal?.aborted
			? { message: "Interrupted.", exitCode: EXIT.interrupted }
			: describeError(error);
		if (message !== "") process.stderr.write(`${message}\n`);
		if (wantsJson) process.stdout.write(`${JSON.stringify({ error: message })}\n`);
		return exitCode;
	}
}

/** The command to run, or undefined where help or the version was printed instead. */
async function parse(args: readonly string[], table: readonly CommandRow[]): Promise<Parsed | undefined> {
	let parsed: Parsed | undefined;
	const program = await buildProgram(args, table, (result) => {
		parsed = result;
	});
	if (args.length === 0) {
		program.outputHelp();
		return undefined;
	}
	try {
		await program.parseAsync(args, { from: "user" });
	} catch (error) {
		if (!(error instanceof CommanderError)) throw error;
		if (error.exitCode === 0) return undefined;
		// A group such as `native` without its sub-command: commander has printed the help.
		if (error.code === "commander.help") throw new UsageError("");
		throw new UsageError(usageSentence(error, requestedRow(args, table)?.name));
	}
	return parsed;
}
