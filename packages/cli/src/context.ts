// What a command is: how it describes itself to commander, and what it is given to run with.
import type { Command } from "commander";
import type { CommonOptions } from "./common-options.js";
import type { Output } from "./output.js";

/** What a command runs with. */
export interface CommandContext<Options extends object = object> {
	/** The positional arguments as commander parsed them. */
	readonly args: readonly unknown[];
	readonly options: CommonOptions & Options;
	readonly output: Output;
	/** Aborted by Ctrl-C. */
	readonly signal: AbortSignal;
	/** The folder that relative paths of the user are relative to. */
	readonly directory: string;
}

/** A command's action. It may return an exit code; undefined stands for 0. */
export type CommandAction = (context: CommandContext) => Promise<number | undefined>;

/** The default export of a module in commands/. It imports nothing heavy itself; its actions do, with import(). */
export interface CommandModule {
	/** Adds options, arguments and an example. The options that every command has are added afterwards. */
	configure(command: Command): void;
	/** Whether it runs networks on the device, so that it takes --tf32. Default false. */
	readonly computes?: boolean;
	/** The action; absent where the command only has sub-commands. */
	run?: CommandAction;
	/** The actions of the sub-commands that `configure` added, by name. */
	subcommands?: Readonly<Record<string, CommandAction>>;
}
