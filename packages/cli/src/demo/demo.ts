// The demo: learns a distribution of prompts from one reference set with the embedded model, then paints everything the method can do on one page.
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { FrozenModel, GenerateOptions, ImageU8, PromptDistribution, SampledSource } from "@dreamdist/core";
import { CommandError, UsageError } from "../errors.js";
import { formatDuration } from "../format.js";
import { writableFolder } from "../paths.js";
import { writeReferencePictures } from "../world/reference-pictures.js";
import { type DemoPage, type PictureTable, renderDemoPage } from "./page.js";

export interface DemoSettings {
	readonly device: string;
	readonly dtype?: "f32" | "f16" | "bf16" | undefined;
	readonly tf32?: boolean | undefined;
	/** What is written: index.html, references/, pictures/ and run/. */
	readonly folder: string;
	/** Reference sets of the drawn world: the one that is learned, and the one it is mixed with. */
	readonly set: string;
	readonly mixedWith: string;
	/** Steps of learning. */
	readonly steps: number;
	readonly seed: number;
	/** Pictures of each table: the sampled ones, and rows of the others. */
	readonly sampled: number;
	readonly rows: number;
	readonly signal: AbortSignal;
	/** Told what happens. */
	readonly notice: (text: string) => void;
}

export interface DemoResult {
	readonly folder: string;
	readonly page: string;
	readonly distribution: string;
	/** Pictures that were generated. */
	readonly pictures: number;
	readonly seconds: { readonly learning: number; readonly painting: number };
}

/** Marks a folder whose contents are a demo's, to be written over. */
const MARK = "demo.json";
const SCALES = [0, 0.5, 1, 1.5, 2];
const WEIGHTS = [0, 0.25, 0.5, 0.75, 1];
/** Words around the learned prompt. */
const EDITS: readonly { readonly label: string; readonly prefix?: string; readonly suffix?: string }[] = [
	{ label: "a chalk drawing of …", prefix: "a chalk drawing of" },
	{ label: "… in the snow", suffix: "in the snow" },
	{ label: "… in the desert", suffix: "in the desert" },
	{ label: "…, autumn colours", suffix: ", autumn colours" },
];

/** Makes room for a demo. @throws CommandError where the folder holds something else */
async function prepareFolder(folder: string): Promise<void> {
	await writableFolder(folder);
	const parts = ["run", "mixed-with", "pictures", "references"];
	if (!existsSync(join(folder, MARK))) {
		const other = parts.find((name) => existsSync(join(folder, name)));
		if (other !== undefined)
			throw new CommandError(`${join(folder, other)} is there and not the demo's; choose another folder with --out.`);
	}
	for (const name of parts) await rm(join(folder, name), { recursive: true, force: true });
}

/** Paints tables of pictures and remembers what the page needs of them. */
class Painter {
	count = 0;

	constructor(
		private readonly model: FrozenModel,
		private readonly settings: DemoSettings,
	) {}

	/** A column for each source; along a row only the source changes. */
	async table(
		name: string,
		columns: readonly { readonly label: string; readonly source: SampledSource }[],
		rows: number,
	): Promise<PictureTable> {
		const { generateSweep, makeFolders, writePng } = await import("@dreamdist/core");
		const { folder, seed, signal, notice } = this.settings;
		const started = performance.now();
		await makeFolders(join(folder, "pictures"));
		const files: string[][] = Array.from({ length: rows }, () => []);
		const options: GenerateOptions = { count: rows, seed, batch: Math.min(rows * columns.length, 16), signal };
		const sources = columns.map(({ source }) => source);
		for await (const picture of generateSweep(this.model, sources, options)) {
			const { index, column, image } = picture;
			const file = `pictures/${name}-${index + 1}-${column + 1}.png`;
			await writePng(join(folder, file), image satisfies ImageU8, {
				recipe: { demo: name, column: columns[column]!.label, seed, index },
			});
			files[index]![column] = file;
			this.count++;
		}
		notice(`${name}: ${rows * columns.length} pictures in ${formatDuration((performance.now() - started) / 1000)}`);
		return { columns: columns.map(({ label }) => label), files };
	}
}

interface Learned {
	/** The references' files. */
	readonly images: readonly string[];
	readonly distribution: PromptDistribution;
	/** What was learned before the first step, after half of them and at the end. */
	readonly stages: readonly { readonly label: string; readonly source: PromptDistribution }[];
	/** Of the mean of the last tenth of the steps. */
	readonly loss: number;
	readonly seconds: number;
}

async function learnSet(model: FrozenModel, settings: DemoSettings, set: string, out: string): Promise<Learned> {
	const [{ LEARN_PRESETS, learn }, { referenceSet }] = await Promise.all([
		import("@dreamdist/core"),
		import("@dreamdist/world"),
	]);
	const { steps, seed, signal, notice } = settings;
	const half = Math.ceil(steps / 2);
	const stages: { label: string; source: PromptDistribution }[] = [];
	const started = performance.now();
	const images = await writeReferencePictures(set, join(settings.folder, "references", set));
	const learning = learn(model, images, {
		...LEARN_PRESETS.mini,
		initialWords: referenceSet(set).words,
		steps,
		seed,
		out,
		signal,
		observe: {
			steps: [0, half, steps],
			take: (step, source) => void stages.push({ label: `step ${step}`, source }),
		},
	});
	const losses: number[] = [];
	for await (const { step, loss } of learning) {
		losses.push(loss);
		if (step % Math.ceil(steps / 4) === 0 || step === steps) {
			const seconds = (performance.now() - started) / 1000;
			notice(`step ${step} of ${steps}: loss ${lastTenth(losses).toFixed(4)}, ${formatDuration(seconds)}`);
		}
	}
	const { distribution } = await learning.result();
	return { images, distribution, stages, loss: lastTenth(losses), seconds: (performance.now() - started) / 1000 };
}

function lastTenth(values: readonly number[]): number {
	const last = values.slice(-Math.ceil(values.length / 10));
	return last.reduce((sum, value) => sum + value, 0) / last.length;
}

/** The second distribution: the one that comes with the model, or else learned like the first. */
async function openSecond(model: FrozenModel, settings: DemoSettings): Promise<PromptDistribution> {
	const { PromptDistribution } = await import("@dreamdist/core");
	const { embeddedFolder } = await import("@dreamdist/models");
	const { mixedWith: set, folder, notice } = settings;
	const bundled = join(embeddedFolder(), "distributions", `${set}.safetensors`);
	if (existsSync(bundled)) {
		const distribution = await PromptDistribution.load(bundled);
		if (distribution.baseModel?.hash === model.identity.hash) return distribution;
		notice(`${bundled} was learned with other weights.`);
	}
	notice(`Learning ${set} too, to mix with it.`);
	return (await learnSet(model, settings, set, join(folder, "mixed-with"))).distribution;
}

/**
 * Runs the demo.
 *
 * @throws UsageError for a set that does not exist; EmbeddedModelError where the model has no weights
 */
export async function runDemo(settings: DemoSettings): Promise<DemoResult> {
	const [{ sweepMix, sweepScale, writeFileAtomic }, models, { REFERENCE_SETS, referenceSet }] = await Promise.all([
		import("@dreamdist/core"),
		import("@dreamdist/models"),
		import("@dreamdist/world"),
	]);
	const { device, dtype, tf32, folder, set, mixedWith, steps, sampled, rows, signal, notice } = settings;
	for (const name of [set, mixedWith])
		if (!REFERENCE_SETS.some((each) => each.name === name))
			throw new UsageError(
				`there is no reference set "${name}"; there are ${REFERENCE_SETS.map((each) => each.name).join(", ")}`,
			);
	const pipe = await models.loadPipeline(models.EMBEDDED_MODEL, { device, dtype, tf32, signal });
	try {
		await prepareFolder(folder);
		await writeFileAtomic(join(folder, MARK), `${JSON.stringify({ set, mixedWith, steps })}\n`);
		const { title, pictures, words } = referenceSet(set);
		notice(
			`Learning from ${pictures} pictures of "${title}" with mini on ${pipe.device}, starting from the words "${words}".`,
		);
		const learned = await learnSet(pipe, settings, set, join(folder, "run"));
		const { distribution, images } = learned;
		const second = await openSecond(pipe, settings);

		const painter = new Painter(pipe, settings);
		const started = performance.now();
		const plain = { label: "as learned", source: distribution };
		const edits = EDITS.map(({ label, ...words }) => ({ label, source: distribution.edit(words) }));
		const scaled = sweepScale(distribution, SCALES);
		const mixed = sweepMix(
			[
				{ source: distribution, weight: 1 },
				{ source: second, weight: 0 },
			],
			WEIGHTS,
		);
		const labelled = (values: readonly number[], sources: readonly SampledSource[], unit: string) =>
			values.map((value, i) => ({ label: `${unit}${value}`, source: sources[i]! }));
		const contents: DemoPage = {
			set: referenceSet(set),
			second: referenceSet(mixedWith),
			references: images.map((file) => `references/${set}/${file.slice(file.lastIndexOf("/") + 1)}`),
			steps: await painter.table("steps", learned.stages, rows),
			sampled: await painter.table("sampled", [plain], sampled),
			edits: await painter.table("edits", [plain, ...edits], rows),
			scales: await painter.table("scale", labelled(SCALES, scaled, "γ "), rows),
			mix: await painter.table("mix", labelled(WEIGHTS, mixed, ""), rows),
			figures: {
				"loss, mean of the last tenth": learned.loss.toFixed(4),
				"steps of learning": `${steps} in ${formatDuration(learned.seconds)}`,
				"prompts × vectors": `${distribution.prompts} × ${distribution.vectors}`,
				"numbers learned": String(distribution.prompts * distribution.vectors * distribution.width),
				device: String(pipe.device),
			},
		};
		const painting = (performance.now() - started) / 1000;
		const page = join(folder, "index.html");
		await writeFileAtomic(page, renderDemoPage(contents));
		return {
			folder,
			page,
			distribution: join(folder, "run", "distribution.safetensors"),
			pictures: painter.count,
			seconds: { learning: learned.seconds, painting },
		};
	} finally {
		pipe.dispose();
	}
}
