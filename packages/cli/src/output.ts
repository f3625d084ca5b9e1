// Where a command's words go. Results are text, or with --json one JSON document, on standard output; notices go to
// standard error, so that a result can be piped. With --json a long command also tells its events, a line of JSON each; its result
// is then the last such line.

export class Output {
	readonly #json: boolean;
	readonly #quiet: boolean;
	#toldEvents = false;

	constructor({ json, quiet }: { json: boolean; quiet: boolean }) {
		this.#json = json;
		this.#quiet = quiet;
	}

	/** The command's result, once: `value` with --json, else the text that `render` makes of it. */
	result<T extends object>(value: T, render: (value: T) => string): void {
		if (this.#toldEvents) this.event("result", value);
		else process.stdout.write(`${this.#json ? JSON.stringify(value, null, "\t") : render(value)}\n`);
	}

	/** Something that happened, for a program that follows; only with --json. */
	event(event: string, value: object): void {
		if (!this.#json) return;
		this.#toldEvents = true;
		process.stdout.write(`${JSON.stringify({ event, ...value })}\n`);
	}

	/** What is going on; nothing with --quiet or --json. */
	notice(text: string): void {
		if (!this.#quiet && !this.#json) process.stderr.write(`${text}\n`);
	}
}
