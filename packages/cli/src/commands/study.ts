// `dreamdist study`: people judge the pictures of a comparison, not knowing whose they are.
import { networkInterfaces } from "node:os";
import { join, relative } from "node:path";
import type { CreateStudyOptions } from "@dreamdist/eval";
import { type Command, InvalidArgumentError } from "commander";
import { addExample, parseCount, parseSeed } from "../common-options.js";
import type { CommandContext, CommandModule } from "../context.js";
import { userPath } from "../paths.js";
import { ProgressLine } from "../progress-line.js";

interface CreateOptions {
	out: string;
	sets?: string[];
	methods?: string[];
	seeds?: number[];
	pictures: number;
	size: number;
	checks: number;
	allowedFailures: number;
	title?: string;
	introduction?: string;
	seed: number;
}

async function create({ args, options, output, signal, directory }: CommandContext): Promise<number> {
	const [comparison] = args as [string];
	const { out, size, introduction, sets, methods, seeds, title, ...rest } =
		options as CommandContext<CreateOptions>["options"];
	const { createStudy } = await import("@dreamdist/eval");
	const folder = userPath(out, directory);
	const progress = new ProgressLine(!options.quiet && !options.json, "picture");
	const settings: CreateStudyOptions = {
		pictures: rest.pictures,
		side: size,
		checks: rest.checks,
		allowedFailures: rest.allowedFailures,
		seed: rest.seed,
		signal,
		onPicture: (done, total) => progress.update(done, total),
		...(sets && { sets }),
		...(methods && { methods }),
		...(seeds && { seeds }),
		...(title !== undefined && { title }),
		...(introduction !== undefined && { introduction: await readIntroduction(userPath(introduction, directory)) }),
	};
	try {
		const { study, key, notes } = await createStudy(userPath(comparison, directory), folder, settings);
		progress.clear();
		for (const note of notes) output.notice(note);
		const judged = study.items.filter(({ kind }) => kind === "judged").length;
		const result = { folder, study: study.id, items: judged, methods: key.methods.length, checks: rest.checks, notes };
		output.result(result, () => {
			const where = relative(directory, folder) || ".";
			return `${judged} items of ${key.methods.length} grids in ${where}. Serve them with: study serve ${where}\nKeep ${where}/key.json to yourself: it says which grid is whose.`;
		});
		return 0;
	} finally {
		progress.clear();
	}
}

async function readIntroduction(path: string): Promise<string> {
	const { readWholeFile } = await import("@dreamdist/core");
	return new TextDecoder().decode(await readWholeFile(path, 10_000));
}

/** Addresses to open, of a server that listens on all of this machine's. */
function addresses(url: string): string[] {
	const { hostname, port } = new URL(url);
	if (hostname !== "0.0.0.0" && hostname !== "[::]") return [url];
	const own = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
	return own.filter(({ family }) => family === "IPv4").map(({ address }) => `http://${address}:${port}/`);
}

async function serve({ args, options, output, signal, directory }: CommandContext): Promise<number> {
	const [folder] = args as [string];
	const { host, port } = options as CommandContext<{ host: string; port: number }>["options"];
	const { serveStudy } = await import("@dreamdist/eval");
	const server = await serveStudy(userPath(folder, directory), {
		host,
		port,
		onError: (error) => output.notice(error instanceof Error ? error.message : String(error)),
	});
	const stopped = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
	const urls = addresses(server.url);
	output.event("serving", { urls, annotators: server.annotators });
	output.notice(
		`Serving “${server.study.title}” at ${urls.join(" and ")}; ${server.annotators} have joined so far. Ctrl-C stops.`,
	);
	if (!/^(localhost|127\.|\[?::1)/.test(host))
		output.notice("Whoever reaches this machine can take part, under any name: use a network that you trust.");
	if (!signal.aborted) await stopped;
	await server.close();
	output.result({ annotators: server.annotators }, ({ annotators }) => `Stopped; ${annotators} have joined.`);
	return 0;
}

async function report({ args, options, output, directory }: CommandContext): Promise<number> {
	const [folder] = args as [string];
	const { out, resamples, seed } = options as CommandContext<{
		out?: string;
		resamples: number;
		seed: number;
	}>["options"];
	const { reportStudy, studyMarkdown, writeStudyReport } = await import("@dreamdist/eval");
	const study = userPath(folder, directory);
	const target = out === undefined ? join(study, "report") : userPath(out, directory);
	const result = await reportStudy(study, { resamples, seed });
	await writeStudyReport(target, result);
	output.result(result.report, studyMarkdown);
	output.notice(`Report: ${relative(directory, target) || "."}/index.html`);
	return 0;
}

const list = (value: string): string[] => {
	const items = value.split(",").map((item) => item.trim());
	if (items.some((item) => item === "")) throw new InvalidArgumentError("It must be names with commas between them.");
	return items;
};

function parseWhole(value: string): number {
	if (/^\d{1,6}$/.test(value)) return Number(value);
	throw new InvalidArgumentError("It must be a whole number from 0 on.");
}

function parsePort(value: string): number {
	const port = Number(value);
	if (/^\d+$/.test(value) && port < 65_536) return port;
	throw new InvalidArgumentError("It must be a port, from 0 (any that is free) to 65535.");
}

function configureCreate(command: Command): void {
	command
		.description("make a study from a comparison: its pictures under random names, and the key apart from them")
		.argument("<comparison>", "folder of a comparison")
		.requiredOption("--out <study>", "folder of the study, which must not exist or be empty")
		.option("--sets <names>", "some of the reference sets, with commas between; default: all", list)
		.option("--methods <names>", "some of the methods, 2 to 9; default: all", list)
		.option("--seeds <numbers>", "some of the seeds, each an item per set; default: the first", (value) =>
			list(value).map(parseSeed),
		)
		.option("--pictures <count>", "pictures of each grid at most", parseCount, 40)
		.option("--size <pixels>", "longer side of the pictures at most", parseCount, 320)
		.option("--checks <count>", "attention checks among the items", parseWhole, 2)
		.option("--allowed-failures <count>", "an annotator who fails more checks is left out of the report", parseWhole, 0)
		.option("--title <text>", "heading of the page")
		.option("--introduction <file>", "text shown before the first item; empty lines part paragraphs")
		.option("--seed <seed>", "of the order of items and grids", parseSeed, 0);
	addExample(
		command,
		"study create runs/comparison --out runs/study",
		"The folder can be served from any machine; key.json, which says which grid is whose, is never read by the server.",
	);
}

function configureServe(command: Command): void {
	command
		.description("serve a study's page and keep the answers")
		.argument("<study>", "folder of a study")
		.option("--host <address>", "address to listen at; 0.0.0.0 lets other machines take part", "127.0.0.1")
		.option("--port <port>", "port to listen at, 0 for any that is free", parsePort, 4747);
	addExample(
		command,
		"study serve runs/study",
		"Every answer is on the disk before it is acknowledged; stopped, it goes on where it was.",
	);
}

function configureReport(command: Command): void {
	command
		.description("say what the annotators chose, with intervals, tests and agreement")
		.argument("<study>", "folder of a study, with its key.json")
		.option("--out <folder>", "folder of the report; default: report in the study's")
		.option("--resamples <count>", "of the bootstrap over annotators and sets", parseCount, 10_000)
		.option("--seed <seed>", "of the bootstrap", parseSeed, 0);
	addExample(
		command,
		"study report runs/study",
		"Writes index.html, report.json, report.md, votes.csv and chart.svg; it can be made again at any time.",
	);
}

const study: CommandModule = {
	configure(command: Command) {
		configureCreate(command.command("create"));
		configureServe(command.command("serve"));
		configureReport(command.command("report"));
	},
	subcommands: { create, serve, report },
};
export default study;
