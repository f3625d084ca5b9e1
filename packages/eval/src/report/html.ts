// Pieces of HTML that pages share.

export function escaped(text: string): string {
	return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** Four digits, and no more zeros than they need. */
export function short(value: number): string {
	if (!Number.isFinite(value)) return "–";
	const size = Math.abs(value);
	if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
	return String(Number(value.toPrecision(4)));
}

const STYLE = `
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --paper: #fff; --mark: #0b66c3; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9aa4ae; --line: #30363d; --paper: #0d1117; --mark: #58a6ff; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 72rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin: 2.4rem 0 0.6rem; } h3 { font-size: 0.95rem; margin: 1.4rem 0 0.4rem; } p { margin: 0.4rem 0; }
table { border-collapse: collapse; font-size: 0.9rem; } td, th { text-align: left; padding: 0.25rem 1rem 0.25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td small, .soft { color: var(--soft); } .scroll { overflow-x: auto; overflow-wrap: normal; } td.best { font-weight: 600; color: var(--mark); }
.pictures { display: flex; flex-wrap: wrap; gap: 0.6rem; } figure { margin: 0; } figcaption { font-size: 0.8rem; color: var(--soft); }
img { display: block; max-width: 128px; max-height: 128px; border: 1px solid var(--line); } .pair { display: flex; gap: 2px; } .pair img { max-width: 96px; max-height: 96px; }
li { margin: 0.2rem 0; } .chart { max-width: 40rem; }`;

/** A whole page that opens from disk: it loads nothing but what lies beside it. */
export function page(title: string, body: string): string {
	return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escaped(title)}</title><style>${STYLE}</style></head>
<body><h1>${escaped(title)}</h1>
${body}
</body></html>
`;
}
