// Where a command's words go. Results are text, or with --json one JSON document, on standard output; notices go to
// standard error, so that a result can be piped.

export class Output {
	readonly #json: boolean;
	readonly #quiet: boolean;

	constructor({ json, quiet }: { json: boolean; quiet: boolean }) {
		this.#json = json;
		this.#quiet = quiet;
	}

	/** The command's result, once: `value` with --json, else the text that `render` makes of it. */
	result<T>(value: T, render: (value: T) => string): void {
		process.stdout.write(`${this.#json ? JSON.stringify(value, null, "\t") : render(value)}\n`);
	}

	/** What is going on; nothing with --quiet or --json. */
	notice(text: string): void {
		if (!this.#quiet && !this.#json) process.stderr.write(`${text}\n`);
	}
}
