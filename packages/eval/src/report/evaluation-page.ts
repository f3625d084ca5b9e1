// An evaluation on one page: the table, what to know about it, and the pictures behind it.
import { join } from "node:path";
import { writeFileAtomic } from "@dreamdist/core";
import { byReason, type Evaluation, type EvaluationWithPictures, type PictureFiles } from "../evaluate/evaluate.js";
import { METRICS, type MetricRow } from "../evaluate/metric-table.js";
import type { Likeness } from "../metrics/similarity.js";
import { escaped, page, short } from "./html.js";
import { Thumbnails } from "./thumbnails.js";

/** Pictures shown with their nearest reference, and on each sheet. */
const NEAREST_SHOWN = 48;
const SHEET = 8;

const ARROWS: Record<MetricRow["better"], string> = { lower: " ↓", higher: " ↑", neither: "" };

/** Which set is best by a metric; -1 where there is one set only, or nothing is better. */
function bestSet({ sets }: Evaluation, { name, better }: (typeof METRICS)[number]): number {
	const values = sets.map(({ metrics }) => metrics[name]?.value ?? Number.NaN);
	const known = values.filter(Number.isFinite);
	if (known.length < 2 || better === "neither") return -1;
	return values.indexOf(better === "lower" ? Math.min(...known) : Math.max(...known));
}

function metricsTable(evaluation: Evaluation): string {
	const rows = METRICS.flatMap((metric) => {
		const measured = evaluation.sets.map(({ metrics }) => metrics[metric.name]);
		const encoder = measured.find((each) => each)?.encoder;
		if (encoder === undefined) return [];
		const best = bestSet(evaluation, metric);
		const cells = measured.map((each, i) => {
			if (!each) return "<td>–</td>";
			const interval = each.interval ? ` <small>${short(each.interval[0])} … ${short(each.interval[1])}</small>` : "";
			const detail = Object.entries(each.detail ?? {}).map(([key, value]) => `${key} ${short(value)}`);
			const title = detail.length > 0 ? ` title="${escaped(detail.join(", "))}"` : "";
			return `<td${i === best ? ' class="best"' : ""}${title}>${short(each.value)}${interval}</td>`;
		});
		return [
			`<tr><th title="${escaped(metric.says)}">${escaped(metric.title)}${ARROWS[metric.better]}</th>${cells.join("")}<td class="soft">${escaped(encoder)}</td></tr>`,
		];
	});
	const heads = evaluation.sets.map(
		({ name, pictures }) => `<th>${escaped(name)}<br><small class="soft">${pictures} pictures</small></th>`,
	);
	return `<div class="scroll"><table><tr><th></th>${heads.join("")}<th class="soft">measured with</th></tr>${rows.join("")}</table></div>`;
}

function list(items: readonly string[]): string {
	return items.length === 0 ? "" : `<ul class="soft">${items.map((item) => `<li>${escaped(item)}</li>`).join("")}</ul>`;
}

/** Pictures of one set: beside their nearest references, and those most and least like the references. */
async function setPictures(
	thumbnails: Thumbnails,
	real: PictureFiles,
	set: PictureFiles,
	{ mean, nearest, nearestIndex }: Likeness,
): Promise<string> {
	const pairs: string[] = [];
	const byNearness = [...nearest.keys()].sort((a, b) => nearest[b]! - nearest[a]!);
	for (const i of byNearness.slice(0, NEAREST_SHOWN)) {
		const reference = await thumbnails.of(real.files[nearestIndex[i]!]!);
		const own = await thumbnails.of(set.files[i]!);
		pairs.push(
			`<figure><div class="pair"><img src="${own}" alt="generated picture ${i + 1}"><img src="${reference}" alt="its nearest reference"></div><figcaption>${short(nearest[i]!)}</figcaption></figure>`,
		);
	}
	const byMean = [...mean.keys()].sort((a, b) => mean[b]! - mean[a]!);
	const sheet = async (indices: readonly number[]) => {
		const figures: string[] = [];
		for (const i of indices)
			figures.push(
				`<figure><img src="${await thumbnails.of(set.files[i]!)}" alt="generated picture ${i + 1}"><figcaption>${short(mean[i]!)}</figcaption></figure>`,
			);
		return `<div class="pictures">${figures.join("")}</div>`;
	};
	const shown = Math.min(NEAREST_SHOWN, set.files.length);
	// Where all are on the first sheet, there are none for the second.
	const least = byMean.slice(SHEET).slice(-SHEET).reverse();
	return `<h2>${escaped(set.name)}</h2>
<h3>Nearest references <span class="soft">(the ${shown} closest of ${set.files.length}; generated left, reference right)</span></h3><div class="pictures">${pairs.join("")}</div>
<h3>Most like the references</h3>${await sheet(byMean.slice(0, SHEET))}
${least.length > 0 ? `<h3>Least like the references</h3>${await sheet(least)}` : ""}`;
}

/** Writes `index.html`, `evaluation.json` and the thumbnails they need into a folder that exists. */
export async function writeEvaluationPage(
	folder: string,
	{ evaluation, likenesses }: EvaluationWithPictures,
	real: PictureFiles,
	sets: readonly PictureFiles[],
): Promise<void> {
	const thumbnails = new Thumbnails(folder);
	const pictures: string[] = [];
	for (const [i, set] of sets.entries())
		if (likenesses) pictures.push(await setPictures(thumbnails, real, set, likenesses[i]!.likeness));
	const missing = byReason(evaluation.unavailable);
	const body = `<p>${evaluation.real.pictures} real pictures: ${escaped(evaluation.real.name)}.</p>
${metricsTable(evaluation)}
${list(evaluation.notes)}
${missing.length > 0 ? `<h3>Not measured</h3>${list(missing)}` : ""}
${likenesses ? `<p class="soft">Below, likeness is the cosine of features of ${escaped(likenesses[0]!.encoder)}.</p>` : ""}
${pictures.join("\n")}`;
	await writeFileAtomic(join(folder, "evaluation.json"), `${JSON.stringify(evaluation, null, "\t")}\n`);
	await writeFileAtomic(join(folder, "index.html"), page("Evaluation", body));
}
