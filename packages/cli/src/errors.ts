// Errors of the command line, and how any error is told to the user.

export const EXIT = { done: 0, failed: 1, usage: 2, interrupted: 130 } as const;

/** A command that could not do its work, in a sentence for the user. Exit code 1. */
export class CommandError extends Error {
	override readonly name: string = "CommandError";
}

/** A mistake in the arguments, in a sentence for the user. Exit code 2. */
export class UsageError extends CommandError {
	override readonly name: string = "UsageError";
}

// What the language itself throws is a fault of ours, and says nothing to a user.
const FAULTS = [TypeError, ReferenceError, SyntaxError];

/** The sentence and the exit code for an error. DD_DEBUG=1 adds the stack. */
export function describeError(error: unknown): { message: string; exitCode: number } {
	const exitCode = error instanceof UsageError ? EXIT.usage : EXIT.failed;
	if (!(error instanceof Error)) return { message: String(error), exitCode };
	if (process.env.DD_DEBUG === "1") return { message: error.stack ?? error.message, exitCode };
	if (FAULTS.some((fault) => error instanceof fault)) {
		return { message: `Internal error: ${error.message} (DD_DEBUG=1 shows where; please report it).`, exitCode };
	}
	return { message: error.message, exitCode };
}
