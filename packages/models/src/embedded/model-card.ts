// The card of a model that full training made: where its weights come from, said by its own training folder.
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { FormatError, fileError } from "@dreamdist/core";
import { readJsonFile } from "../loading/json-file.js";
import { checkpointSteps } from "../pretrain/checkpoint.js";
import { type Recipe, STAGES, type StageName } from "../pretrain/recipe.js";

type Figures = Readonly<Record<string, number>>;

/** What a stage's training folder says. */
export interface StageHistory {
	readonly stage: StageName;
	readonly steps: number;
	/** Steps of the recipe. */
	readonly planned: number;
	readonly pictures: number;
	readonly device: string;
	/** Wall-clock time of the steps for which it is on record, and how many those are. */
	readonly time: { readonly seconds: number; readonly steps: number };
	/** Settings that decided its last steps. */
	readonly settings: Readonly<Record<string, unknown>>;
	/** Settings that it went by at first, with the last step taken with them. */
	readonly earlier: readonly { readonly until: number; readonly settings: Readonly<Record<string, unknown>> }[];
	readonly metrics: readonly Figures[];
	readonly evaluations: readonly Figures[];
}

async function readLines(path: string): Promise<Figures[]> {
	try {
		const text = await readFile(path, "utf8");
		return text
			.split("\n")
			.filter((line) => line !== "")
			.map((line) => JSON.parse(line) as Figures);
	} catch (error) {
		if (error instanceof SyntaxError)
			throw new FormatError("BAD_METRICS", path, `${path} is damaged: ${error.message}`);
		throw fileError(error, "read", path);
	}
}

async function readTime(path: string): Promise<StageHistory["time"]> {
	// Runs of before there was such a file have none.
	const lines = existsSync(path) ? await readLines(path) : [];
	const total = (read: (line: Figures) => number) => lines.reduce((sum, line) => sum + read(line), 0);
	return { seconds: total((line) => line.seconds!), steps: total((line) => line.step! - line.from!) };
}

/** @throws FileError or FormatError naming a file that is not there or damaged */
export async function readStageHistory(model: string, recipe: Recipe, stage: StageName): Promise<StageHistory> {
	const folder = join(model, "training", stage);
	const record = (await readJsonFile(join(folder, "run.json"))) as {
		device: string;
		decisive: { settings: StageHistory["settings"] };
		earlier?: StageHistory["earlier"];
	};
	const metrics = await readLines(join(folder, "metrics.jsonl"));
	const steps = (await checkpointSteps(join(folder, "checkpoints"))).at(-1) ?? metrics.at(-1)?.step ?? 0;
	const earlier = record.earlier ?? [];
	// Batches may have changed on the way.
	let [pictures, from] = [0, 0];
	for (const { until, settings } of earlier) {
		pictures += (until - from) * Number(settings.batch);
		from = until;
	}
	pictures += (steps - from) * recipe.stages[stage].batch;
	return {
		stage,
		steps,
		planned: recipe.stages[stage].steps,
		pictures,
		device: record.device,
		time: await readTime(join(folder, "time.jsonl")),
		settings: record.decisive.settings,
		earlier,
		metrics,
		evaluations: await readLines(join(folder, "evaluations.jsonl")),
	};
}

const WIDTH = 720;
const HEIGHT = 110;
const POINTS = 240;

/** The loss of each stage over its steps, as one SVG picture. */
export function lossCurves(histories: readonly StageHistory[]): string {
	const charts = histories.map(({ stage, metrics, steps }, i) => {
		const stretch = Math.max(1, Math.ceil(metrics.length / POINTS));
		const points: [number, number][] = [];
		for (let at = 0; at < metrics.length; at += stretch) {
			const part = metrics.slice(at, at + stretch);
			points.push([part.at(-1)!.step!, part.reduce((sum, line) => sum + line.loss!, 0) / part.length]);
		}
		// The start would flatten all that follows.
		const losses = points.slice(Math.ceil(points.length / 20)).map(([, loss]) => loss);
		const [low, high] = [Math.min(...losses), Math.max(...losses)];
		const top = i * (HEIGHT + 34) + 24;
		const line = points
			.map(([step, loss]) => {
				const y = top + (HEIGHT * (high - Math.min(loss, high))) / Math.max(1e-9, high - low);
				return `${((WIDTH * step) / Math.max(1, steps)).toFixed(1)},${y.toFixed(1)}`;
			})
			.join(" ");
		return `<text x="0" y="${top - 8}">${stage}: loss from ${high.toPrecision(3)} to ${low.toPrecision(3)} over ${steps} steps</text>
<polyline points="${line}" fill="none" stroke="#3b7dc4" stroke-width="1.5"/>
<path d="M0 ${top + HEIGHT}H${WIDTH}" stroke="#999"/>`;
	});
	const height = histories.length * (HEIGHT + 34);
	return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="13" fill="#777">
${charts.join("\n")}
</svg>
`;
}

function changes({ stage, settings: last, earlier }: StageHistory): string[] {
	return earlier.map(({ until, settings }) => {
		const different = Object.entries(last).filter(
			([key, value]) => JSON.stringify(value) !== JSON.stringify(settings[key]),
		);
		const [absent, other] = [true, false].map((missing) => different.filter(([key]) => !(key in settings) === missing));
		const said = other!.map(([key]) => `${key} ${JSON.stringify(settings[key])}`);
		if (absent!.length > 0) said.push(`no ${absent!.map(([key]) => key).join(", no ")}`);
		return `- \`${stage}\` to step ${until} with ${said.join(", ")}`;
	});
}

function hours({ seconds, steps: recorded }: StageHistory["time"], steps: number): string {
	if (recorded === 0) return "not recorded";
	return `${(seconds / 3600).toFixed(2)}${recorded < steps ? ` for ${recorded} steps` : ""}`;
}

/**
 * The card's text; tables of what was measured go between its markers.
 *
 * @param seen what somebody who looked at the pictures found wrong with them
 */
export function modelCard(recipe: Recipe, histories: readonly StageHistory[], megabytes: number, seen = ""): string {
	const rows = histories.map(({ stage, steps, planned, pictures, device, time, evaluations }) => {
		const { step: _, ...figures } = evaluations.at(-1) ?? {};
		const said = Object.entries(figures).map(([name, value]) => `${name} ${value!.toPrecision(4)}`);
		return `| ${stage} | ${steps} of ${planned} | ${pictures.toLocaleString("en")} | ${device} | ${hours(time, steps)} | ${said.join(", ")} |`;
	});
	const moved = histories.flatMap((history) => changes(history));
	return `# ${recipe.name}

A small text-to-image model with Stable Diffusion 2.1's architecture, trained from nothing by dreamdist's own engine on pictures that dreamdist draws itself
(\`@dreamdist/world\`): 20 subjects in 6 styles, 8 palettes and 8 settings by day or night, 64×64. It is there to try, test and demonstrate the method in minutes on a
processor. ${megabytes.toFixed(1)} MB in f16: text encoder, UNet, autoencoder, and two instruments of measuring, an image encoder and a classifier.

![pictures of held-out captions](pictures.png)

## Training

Recipe \`recipe.json\`, seed ${recipe.seed}. No picture or text from elsewhere was used.

| stage | steps | pictures seen | device | hours | last figures on held-out scenes |
|---|---|---|---|---|---|
${rows.join("\n")}

${moved.length > 0 ? `Settings that changed on the way (before that they were other than the recipe's):\n\n${moved.join("\n")}\n\n` : ""}![loss curves](curves.svg)

The same again:

${STAGES.map((stage) => `    npm run dd -- pretrain --recipe packages/models/mini/recipe.json --stage ${stage} --out models/${recipe.name}`).join("\n")}

Optimisers' moments are not part of this folder: with \`--from packages/models/mini\` training goes on from these weights with fresh ones.

## Measured

<!-- quality: written by scripts/measure-mini.mjs -->
<!-- end of quality -->

## Limits

It knows nothing but that world: its captions are lower case, in the world's words, and say subject, style, colours, place and time of day. Other words mean nothing
to it. Small things (faces, windows, the number of three) are the first to go wrong.
${seen === "" ? "" : `\n${seen.trim()}\n`}`;
}
