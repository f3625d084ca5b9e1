// index.html: a run on one page that opens from disk with no server.
import { writeFileAtomic } from "../../data/atomic.js";
import type { PromptDistribution } from "../prompts/distribution.js";
import type { DistributionInspection } from "../prompts/inspect.js";
import type { MetricsLine, StepMetrics } from "./metrics.js";

export interface RunPageContents {
	readonly title: string;
	readonly distribution: PromptDistribution;
	readonly inspection: DistributionInspection;
	readonly metrics: readonly MetricsLine[];
	/** Names in `samples/`, the oldest first. */
	readonly samples: readonly string[];
}

const STYLE = `
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --paper: #fff; --mark: #0b66c3; --faint: #9cc3ea; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9aa4ae; --line: #30363d; --paper: #0d1117; --mark: #58a6ff; --faint: #24476e; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 66rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin: 2.4rem 0 0.6rem; } p { margin: 0.4rem 0; }
table { border-collapse: collapse; font-size: 0.9rem; } td, th { text-align: left; padding: 0.15rem 0.9rem 0.15rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
small, .soft { color: var(--soft); } .scroll { overflow-x: auto; } details td { white-space: normal; }
figure { margin: 0 0 1rem; } img { max-width: 100%; border: 1px solid var(--line); }
svg { display: block; width: 100%; } .chart svg { border: solid var(--line); border-width: 0 0 1px 1px; }
.chart { display: grid; grid-template-columns: auto 1fr; gap: 0 0.5rem; font-size: 0.8rem; color: var(--soft); margin: 0.4rem 0; }
.chart .y { display: flex; flex-direction: column; justify-content: space-between; text-align: right; }
.chart .x { grid-column: 2; display: flex; justify-content: space-between; }
.matrix { max-width: 34rem; }`;

function escaped(text: string): string {
	return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

const short = (value: number) => (Number.isFinite(value) ? String(Number(value.toPrecision(3))) : String(value));

/** Points of a curve: at most this many, each the mean of its stretch. */
const CURVE_POINTS = 400;
/** Share of the curve that its smooth line averages over: single steps differ by their timesteps more than by what was learned. */
const SMOOTHING = 0.1;

/** A drawing as wide as the page, whose labels keep their size. */
function chart(label: string, height: number, drawing: string, y: readonly string[], x: readonly string[]): string {
	const spans = (list: readonly string[]) => list.map((text) => `<span>${text}</span>`).join("");
	return `<div class="chart"><div class="y">${spans(y)}</div><svg viewBox="0 0 1000 100" preserveAspectRatio="none" style="height: ${height}px" role="img" aria-label="${label}">${drawing}</svg><div class="x">${spans(x)}</div></div>`;
}

function curve<Line extends StepMetrics>(
	label: string,
	metrics: readonly Line[],
	read: (line: Line) => number,
): string {
	const stretch = Math.ceil(metrics.length / CURVE_POINTS);
	const points: { step: number; value: number }[] = [];
	for (let i = 0; i < metrics.length; i += stretch) {
		const part = metrics.slice(i, i + stretch);
		points.push({ step: part.at(-1)!.step, value: part.reduce((sum, line) => sum + read(line), 0) / part.length });
	}
	const lowest = Math.min(...points.map(({ value }) => value));
	const highest = Math.max(...points.map(({ value }) => value));
	const [first, last] = [points[0]!.step, points.at(-1)!.step];
	const path = (values: readonly number[]) =>
		values
			.map((value, i) => {
				const x = (1000 * (points[i]!.step - first)) / Math.max(1, last - first);
				const y = 2 + (96 * (highest - value)) / Math.max(1e-12, highest - lowest);
				return `${x.toFixed(1)},${y.toFixed(1)}`;
			})
			.join(" ");
	const line = (values: readonly number[], colour: string, width: number) =>
		`<polyline points="${path(values)}" fill="none" stroke="var(--${colour})" stroke-width="${width}" vector-effect="non-scaling-stroke"/>`;
	const values = points.map(({ value }) => value);
	const drawing = line(values, "faint", 1) + line(smoothed(values), "mark", 2);
	return chart(label, 220, drawing, [short(highest), short(lowest)], [`step ${first}`, `step ${last}`]);
}

/** Means over the points around each; fewer at the ends. */
function smoothed(values: readonly number[]): number[] {
	const reach = Math.floor((values.length * SMOOTHING) / 2);
	return values.map((_, i) => {
		const around = values.slice(Math.max(0, i - reach), i + reach + 1);
		return around.reduce((sum, value) => sum + value, 0) / around.length;
	});
}

function curves(metrics: readonly (StepMetrics & { readonly orthogonal?: number })[]): string {
	if (metrics.length === 0) return '<p class="soft">No steps yet.</p>';
	const orthogonal = metrics.some((line) => (line.orthogonal ?? 0) !== 0)
		? `<h2>Orthogonal loss</h2>${curve("orthogonal loss over steps", metrics, (line) => line.orthogonal ?? 0)}`
		: "";
	return `${curve("loss over steps", metrics, (line) => line.loss)}
<p class="soft">The strong line is the mean over a tenth of the run. The last loss is ${short(metrics.at(-1)!.loss)}.</p>${orthogonal}`;
}

function bars(values: readonly number[]): string {
	const step = 1000 / values.length;
	const highest = Math.max(...values, 1e-12);
	const rectangles = values
		.map((value, i) => {
			const tall = (98 * value) / highest;
			return `<rect x="${(i * step).toFixed(1)}" y="${(100 - tall).toFixed(1)}" width="${(step * 0.8).toFixed(1)}" height="${tall.toFixed(1)}" fill="var(--mark)"><title>position ${i}: ${short(value)}</title></rect>`;
		})
		.join("");
	const ends = ["position 0", `position ${values.length - 1}`];
	return chart("deviation by position", 140, rectangles, [short(highest), "0"], ends);
}

function heatMap(rows: readonly (readonly number[])[]): string {
	const cell = Math.max(8, Math.min(28, 600 / rows.length));
	const side = cell * rows.length;
	const cells = rows
		.map((row, i) =>
			row
				.map((value, j) => {
					const colour = value >= 0 ? "11, 102, 195" : "195, 60, 11";
					return `<rect x="${(j * cell).toFixed(1)}" y="${(i * cell).toFixed(1)}" width="${cell.toFixed(1)}" height="${cell.toFixed(1)}" fill="rgba(${colour}, ${Math.min(1, Math.abs(value)).toFixed(3)})"><title>prompts ${i + 1} and ${j + 1}: ${value.toFixed(3)}</title></rect>`;
				})
				.join(""),
		)
		.join("");
	const names = ["prompt 1", `prompt ${rows.length}`].map((name) => `<span>${name}</span>`).join("");
	return `<div class="chart matrix"><div class="y">${names}</div><svg viewBox="0 0 ${side} ${side}" role="img" aria-label="cosines between prompts">${cells}</svg><div class="x">${names}</div></div>
<p class="soft">Blue is 1, blank 0, red −1${pairs(rows)}.</p>`;
}

/** How large cosines are between different prompts. */
function pairs(rows: readonly (readonly number[])[]): string {
	const others = rows.flatMap((row, i) => row.slice(i + 1).map(Math.abs));
	if (others.length === 0) return "";
	const mean = others.reduce((a, b) => a + b) / others.length;
	return `; between different prompts it is ${short(mean)} on average, without its sign`;
}

function wordTable({ words, meanWords }: DistributionInspection): string {
	const row = (name: string, list: typeof meanWords) =>
		`<tr><th>${name}</th>${list.map(({ word, distance }) => `<td>${escaped(word)} <small>${short(distance)}</small></td>`).join("")}</tr>`;
	return `<div class="scroll"><table>${row("mean", meanWords)}${words.map((list, k) => row(`prompt ${k + 1}`, list)).join("")}</table></div>`;
}

function settingsTable(settings: Readonly<Record<string, unknown>>): string {
	const rows = Object.entries(settings).map(
		([key, value]) => `<tr><th>${escaped(key)}</th><td>${escaped(JSON.stringify(value))}</td></tr>`,
	);
	return `<details><summary>All settings</summary><table>${rows.join("")}</table></details>`;
}

function sampleFigures(samples: readonly string[]): string {
	const grids = samples
		.map(
			(name) =>
				`<figure><img src="samples/${encodeURIComponent(name)}" alt="${escaped(name)}"><figcaption class="soft">${escaped(name.replace(/\.png$/, ""))}</figcaption></figure>`,
		)
		.reverse()
		.join("");
	return grids || '<p class="soft">None were asked for (--sample-every).</p>';
}

/** A whole page; `body` is HTML. */
function document(title: string, body: string): string {
	return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escaped(title)}</title><style>${STYLE}</style></head>
<body><h1>${escaped(title)}</h1>
${body}
</body></html>
`;
}

/** The page's HTML; pictures are linked relative to the run folder. */
export function renderRunPage(contents: RunPageContents): string {
	const { title, distribution, inspection, metrics, samples } = contents;
	const { prompts, vectors, width, className, baseModel } = distribution;
	return document(
		title,
		`<p>${prompts} prompts of ${vectors} vectors, width ${width}${className === null ? "" : `, class ${escaped(className)}`}${baseModel ? `, learned with ${escaped(baseModel.id)}` : ""}; ${metrics.length} steps.</p>
<h2>Loss</h2>${curves(metrics)}
<h2>Samples</h2>${sampleFigures(samples)}
<h2>Nearest words</h2><p class="soft">The vocabulary's nearest word to each learned vector, with its distance.</p>${wordTable(inspection)}
<h2>Deviation by position</h2>${bars(inspection.positionStd)}<p class="soft">On average ${short(inspection.spread)}. It is 0 where no prompt differs: at the start and in a prefix.</p>
<h2>Cosines between prompts</h2>${heatMap(inspection.cosines)}
<h2>Settings</h2>${settingsTable(distribution.settings)}`,
	);
}

/** A run of any method, without what only distributions have. */
export interface MethodPageContents {
	readonly title: string;
	/** What it is, in a sentence. */
	readonly summary: string;
	readonly metrics: readonly StepMetrics[];
	/** Names in `samples/`, the oldest first. */
	readonly samples: readonly string[];
	readonly settings: Readonly<Record<string, unknown>>;
}

/** The page's HTML; pictures are linked relative to the run folder. */
export function renderMethodPage({ title, summary, metrics, samples, settings }: MethodPageContents): string {
	return document(
		title,
		`<p>${escaped(summary)}</p>
<h2>Loss</h2>${curves(metrics)}
<h2>Samples</h2>${sampleFigures(samples)}
<h2>Settings</h2>${settingsTable(settings)}`,
	);
}

export async function writeRunPage(path: string, contents: RunPageContents): Promise<void> {
	await writeFileAtomic(path, renderRunPage(contents));
}
