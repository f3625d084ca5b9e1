// How often each method was chosen, as bars: the paper's Figure 4, with intervals and what chance would give.
import { escaped } from "../report/html.js";
import type { StudyReport } from "./analyse.js";
import { QUESTION_TITLES } from "./wording.js";

const WIDTH = 560;
const LABELS = 170;
const VALUES = 56;
const ROW = 26;
const TITLE = 30;
const GAP = 14;

/** Labels longer than this are cut. */
const LETTERS = 24;

const STYLE = `text { font: 13px system-ui, sans-serif; fill: #57606a; } .title { font-weight: 600; } .bar { fill: #3b82c4; }
line { stroke: #57606a; } .chance { stroke-dasharray: 3 3; opacity: 0.8; }
@media (prefers-color-scheme: dark) { text { fill: #9aa4ae; } line { stroke: #9aa4ae; } }`;

const cut = (text: string) => (text.length > LETTERS ? `${text.slice(0, LETTERS - 1)}…` : text);
const round = (value: number) => String(Number(value.toFixed(1)));

/** An SVG file's text; it needs nothing but itself. */
export function studyChart({ questions }: StudyReport): string {
	const methods = questions[0]!.methods.length;
	const block = TITLE + methods * ROW + GAP;
	const height = questions.length * block;
	const scale = WIDTH - LABELS - VALUES;
	const x = (share: number) => round(LABELS + share * scale);
	const parts = questions.map(({ question, methods: results, votes }, number) => {
		const top = number * block;
		const bottom = top + TITLE + methods * ROW;
		const rows = results.map(({ label, share, bootstrap: [low, high] }, row) => {
			const middle = top + TITLE + (row + 0.5) * ROW;
			const whisker = Number.isFinite(low)
				? `<line x1="${x(low)}" x2="${x(high)}" y1="${middle}" y2="${middle}"/>` +
					[low, high]
						.map((end) => `<line x1="${x(end)}" x2="${x(end)}" y1="${middle - 4}" y2="${middle + 4}"/>`)
						.join("")
				: "";
			return `<text x="${LABELS - 8}" y="${middle + 4.5}" text-anchor="end">${escaped(cut(label))}</text>
<rect class="bar" x="${LABELS}" y="${middle - 8}" width="${round(share * scale)}" height="16"/>${whisker}
<text x="${WIDTH}" y="${middle + 4.5}" text-anchor="end">${round(100 * share)} %</text>`;
		});
		const chance = x(1 / methods);
		return `<text class="title" x="${LABELS}" y="${top + 18}">${escaped(QUESTION_TITLES[question])}, ${votes} votes</text>
${rows.join("\n")}
<line x1="${LABELS}" x2="${LABELS}" y1="${top + TITLE}" y2="${bottom}"/><line class="chance" x1="${chance}" x2="${chance}" y1="${top + TITLE}" y2="${bottom}"/>`;
	});
	return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="Share of votes of each method"><style>${STYLE}</style>
${parts.join("\n")}
</svg>
`;
}
