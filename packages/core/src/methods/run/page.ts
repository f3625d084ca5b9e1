// index.html: a run on one page that opens from disk with no server.
import { writeFileAtomic } from "../../data/atomic.js";
import type { PromptDistribution } from "../prompts/distribution.js";
import type { DistributionInspection } from "../prompts/inspect.js";
import type { MetricsLine } from "./metrics.js";

export interface RunPageContents {
	readonly title: string;
	readonly distribution: PromptDistribution;
	readonly inspection: DistributionInspection;
	readonly metrics: readonly MetricsLine[];
	/** Names in `samples/`, the oldest first. */
	readonly samples: readonly string[];
}

const STYLE = `
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #6a737d; --line: #d0d7de; --paper: #fff; --mark: #0b66c3; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9aa4ae; --line: #30363d; --paper: #0d1117; --mark: #58a6ff; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-size: 0.9rem; } td, th { text-align: left; padding: 0.15rem 0.7rem 0.15rem 0; border-bottom: 1px solid var(--line); }
small, .soft { color: var(--soft); } svg { max-width: 100%; } svg text { fill: var(--soft); font-size: 11px; }
.scroll { overflow-x: auto; } img { max-width: 100%; image-rendering: auto; border: 1px solid var(--line); }`;

function escaped(text: string): string {
	return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

const short = (value: number) => (Number.isFinite(value) ? String(Number(value.toPrecision(3))) : String(value));

/** Points of the loss curve: at most this many, each the mean of its stretch. */
const CURVE_POINTS = 400;

function lossCurve(metrics: readonly MetricsLine[]): string {
	if (metrics.length === 0) return '<p class="soft">No steps yet.</p>';
	const stretch = Math.ceil(metrics.length / CURVE_POINTS);
	const points: { step: number; loss: number }[] = [];
	for (let i = 0; i < metrics.length; i += stretch) {
		const part = metrics.slice(i, i + stretch);
		points.push({ step: part.at(-1)!.step, loss: part.reduce((sum, line) => sum + line.loss, 0) / part.length });
	}
	const [width, height, left, bottom] = [900, 260, 56, 24];
	const lowest = Math.min(...points.map(({ loss }) => loss));
	const highest = Math.max(...points.map(({ loss }) => loss));
	const last = points.at(-1)!.step;
	const x = (step: number) => left + ((width - left) * (step - points[0]!.step)) / Math.max(1, last - points[0]!.step);
	const y = (loss: number) => 8 + ((height - bottom - 8) * (highest - loss)) / Math.max(1e-12, highest - lowest);
	const line = points.map(({ step, loss }) => `${x(step).toFixed(1)},${y(loss).toFixed(1)}`).join(" ");
	return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="loss over steps">
<text x="0" y="14">${short(highest)}</text><text x="0" y="${height - bottom}">${short(lowest)}</text>
<text x="${left}" y="${height - 4}">step ${points[0]!.step}</text><text x="${width}" y="${height - 4}" text-anchor="end">step ${last}</text>
<polyline points="${line}" fill="none" stroke="var(--mark)" stroke-width="1.5"/></svg>
<p class="soft">${stretch > 1 ? `Each point is the mean of ${stretch} steps. ` : ""}The last loss is ${short(metrics.at(-1)!.loss)}.</p>`;
}

function bars(values: readonly number[]): string {
	const [width, height] = [900, 140];
	const step = width / values.length;
	const highest = Math.max(...values, 1e-12);
	const rectangles = values
		.map((value, i) => {
			const tall = ((height - 20) * value) / highest;
			return `<rect x="${(i * step).toFixed(1)}" y="${(height - 20 - tall).toFixed(1)}" width="${(step * 0.8).toFixed(1)}" height="${tall.toFixed(1)}" fill="var(--mark)"><title>position ${i}: ${short(value)}</title></rect>`;
		})
		.join("");
	return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="deviation by position">${rectangles}<text x="0" y="${height - 4}">position 0</text><text x="${width}" y="${height - 4}" text-anchor="end">position ${values.length - 1}</text></svg>`;
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
	return `<svg viewBox="0 0 ${side} ${side}" width="${side}" role="img" aria-label="cosines between prompts">${cells}</svg>`;
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

/** The page's HTML; pictures are linked relative to the run folder. */
export function renderRunPage(contents: RunPageContents): string {
	const { title, distribution, inspection, metrics, samples } = contents;
	const { prompts, vectors, width, className, baseModel } = distribution;
	const grids = samples
		.map(
			(name) =>
				`<figure><img src="samples/${encodeURIComponent(name)}" alt="${escaped(name)}"><figcaption class="soft">${escaped(name.replace(/\.png$/, ""))}</figcaption></figure>`,
		)
		.reverse()
		.join("");
	return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escaped(title)}</title><style>${STYLE}</style></head>
<body><h1>${escaped(title)}</h1>
<p>${prompts} prompts of ${vectors} vectors, width ${width}${className === null ? "" : `, class ${escaped(className)}`}${baseModel ? `, learned with ${escaped(baseModel.id)}` : ""}; ${metrics.length} steps.</p>
<h2>Loss</h2>${lossCurve(metrics)}
<h2>Samples</h2>${grids || '<p class="soft">None were asked for (--sample-every).</p>'}
<h2>Nearest words</h2><p class="soft">The vocabulary's nearest word to each learned vector, with its distance.</p>${wordTable(inspection)}
<h2>Deviation by position</h2>${bars(inspection.positionStd)}<p class="soft">On average ${short(inspection.spread)}. It is 0 where no prompt differs: at the start and in a prefix.</p>
<h2>Cosines between prompts</h2>${heatMap(inspection.cosines)}
<h2>Settings</h2>${settingsTable(distribution.settings)}
</body></html>
`;
}

export async function writeRunPage(path: string, contents: RunPageContents): Promise<void> {
	await writeFileAtomic(path, renderRunPage(contents));
}
