// `dreamdist eval`: measures generated pictures against real ones.
import { basename, relative } from "node:path";
import type { EvaluateEvent, Evaluation, MetricName, PictureFiles } from "@dreamdist/eval";
import { type Command, InvalidArgumentError, Option } from "commander";
import { addExample, parseSeed } from "../common-options.js";
import type { CommandContext, CommandModule } from "../context.js";
import { UsageError } from "../errors.js";
import { resolveModel } from "../model-path.js";
import { userPath, writableFolder } from "../paths.js";
import { ProgressLine } from "../progress-line.js";

interface EvalOptions {
	real: string;
	fake: string[];
	metrics?: string[];
	fid: "pytorch-fid" | "torch-fidelity" | "clean-fid";
	dinov2: "small" | "base" | "large";
	lpips: "alex" | "vgg";
	encoders?: string;
	instruments?: string;
	prompt?: string;
	out?: string;
	cache: boolean;
	seed: number;
}

/** Names of sets: the folders' own names, or their paths where those are alike. */
function nameSets(folders: readonly string[], directory: string): string[] {
	const names = folders.map((folder) => basename(folder));
	return new Set(names).size === names.length ? names : folders.map((folder) => relative(directory, folder) || ".");
}

async function run(context: CommandContext<EvalOptions>): Promise<number> {
	const { options, output, signal, directory } = context;
	if (options.dtype !== undefined && options.dtype !== "f32")
		throw new UsageError(`Metrics are computed in f32 and double; --dtype ${options.dtype} does not apply.`);
	const { findPictures, openDevice } = await import("@dreamdist/core");
	const evaluation = await import("@dreamdist/eval");
	const metrics = options.metrics && checkMetrics(options.metrics, evaluation.METRIC_NAMES);
	const filesOf = async (folder: string) => (await findPictures([folder], { directory })).map(({ path }) => path);
	const folders = options.fake.map((folder) => userPath(folder, directory));
	const names = nameSets(folders, directory);
	const real: PictureFiles = { name: options.real, files: await filesOf(options.real) };
	const sets: PictureFiles[] = [];
	for (const [i, folder] of folders.entries()) sets.push({ name: names[i]!, files: await filesOf(folder) });
	if (options.out !== undefined) await writableFolder(userPath(options.out, directory));
	const device = await openDevice(options.device);
	const progress = new EvaluationProgress(!options.quiet && !options.json);
	try {
		const result = await evaluation.evaluate({
			device,
			real,
			sets,
			metrics,
			fid: options.fid,
			dinov2: options.dinov2,
			lpips: options.lpips,
			encoders: options.encoders && userPath(options.encoders, directory),
			instruments: options.instruments && (await resolveModel(options.instruments, directory)),
			prompt: options.prompt,
			cache: new evaluation.FeatureCache(options.cache ? evaluation.featureCacheFolder() : null),
			seed: options.seed,
			signal,
			onProgress: progress.show,
		});
		progress.clear();
		for (const line of evaluation.byReason(result.evaluation.unavailable)) output.notice(`Not measured: ${line}`);
		if (options.out !== undefined) {
			const out = userPath(options.out, directory);
			await evaluation.writeEvaluationPage(out, result, real, sets);
			output.notice(`Report: ${relative(directory, out) || "."}/index.html`);
		}
		output.result(result.evaluation, (value) => render(value, evaluation.METRICS));
		return 0;
	} finally {
		progress.clear();
		device.dispose();
	}
}

function checkMetrics(given: readonly string[], known: readonly MetricName[]): MetricName[] {
	return given.map((name) => {
		const found = known.find((each) => each === name);
		if (found) return found;
		throw new UsageError(`There is no metric "${name}"; known are ${known.join(", ")}.`);
	});
}

/** A line per encoder and set. */
class EvaluationProgress {
	private line: ProgressLine | null = null;
	private unit = "";

	constructor(private readonly enabled: boolean) {}

	show = (event: EvaluateEvent): void => {
		if (event.kind === "unavailable") return;
		const unit = `${event.encoder}, ${event.set}: picture`;
		if (unit !== this.unit) {
			this.clear();
			this.line = new ProgressLine(this.enabled, unit);
			this.unit = unit;
		}
		this.line?.update(event.done, event.total);
	};

	clear(): void {
		this.line?.clear();
	}
}

const short = (value: number) => String(Number(value.toPrecision(5)));

function render(evaluation: Evaluation, table: readonly { name: MetricName; title: string }[]): string {
	const rows: string[][] = [
		["", ...evaluation.sets.map(({ name, pictures }) => `${name} (${pictures})`), "measured with"],
	];
	for (const { name, title } of table) {
		const measured = evaluation.sets.map(({ metrics }) => metrics[name]);
		const encoder = measured.find((each) => each)?.encoder;
		if (encoder === undefined) continue;
		const cells = measured.map((each) => {
			if (!each) return "–";
			const { value, interval } = each;
			return interval ? `${short(value)} [${short(interval[0])}, ${short(interval[1])}]` : short(value);
		});
		rows.push([title, ...cells, encoder]);
	}
	const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
	const lines = rows.map((row) =>
		row
			.map((cell, i) => cell.padEnd(widths[i]!))
			.join("  ")
			.trimEnd(),
	);
	return [...lines, "", ...evaluation.notes].join("\n").trimEnd();
}

function parseList(value: string, previous: string[] | undefined): string[] {
	const items = value.split(",").map((item) => item.trim());
	if (items.some((item) => item === "")) throw new InvalidArgumentError("It must be names with commas between them.");
	return [...(previous ?? []), ...items];
}

const evaluateCommand: CommandModule = {
	configure(command: Command) {
		command
			.requiredOption("--real <images>", "folder of real pictures")
			.requiredOption("--fake <images...>", "folders of generated pictures, each a column of the result")
			.option(
				"--metrics <names>",
				"some of the metrics, with commas between; default: all that can be measured",
				parseList,
			)
			.addOption(
				new Option("--fid <how>", "how pictures are brought to Inception; scores differ between them")
					.choices(["pytorch-fid", "torch-fidelity", "clean-fid"])
					.default("pytorch-fid"),
			)
			.addOption(new Option("--dinov2 <size>", "which DINOv2").choices(["small", "base", "large"]).default("large"))
			.addOption(new Option("--lpips <net>", "which LPIPS").choices(["alex", "vgg"]).default("alex"))
			.option("--prompt <text>", "prompt of all generated pictures, for CLIP-T; else what each picture's recipe says")
			.option("--encoders <folder>", "folder of public encoders, looked into before the Hub's cache")
			.option("--instruments <model>", "measure with this model's own classifier and encoders, which needs no download")
			.option("--out <folder>", "write a page with the table, nearest references and the best and worst pictures")
			.option("--no-cache", "make all features anew and keep none")
			.option("--seed <seed>", "of the intervals", parseSeed, 0);
		addExample(
			command,
			"eval --real references --fake out/a out/b --metrics fid,clip-i,dino --out report",
			"Encoders are fetched once: pull inception, pull openai/clip-vit-base-patch32, pull facebook/dino-vits16,\n" +
				"pull facebook/dinov2-large, pull openai/clip-vit-large-patch14-336, pull lpips-alex.",
		);
	},
	run: run as CommandModule["run"],
};
export default evaluateCommand;
