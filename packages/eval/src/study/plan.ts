// What one annotator sees: the items in an order of their own, each with its grids in a counterbalanced order.
import { SeededRandom } from "../statistics/random.js";
import type { Study, StudyGrid, StudyItem } from "./study-file.js";
import { williamsDesign } from "./williams.js";

export interface PlannedItem {
	readonly item: StudyItem;
	/** As they stand on the page. */
	readonly grids: readonly StudyGrid[];
}

/** Streams of the study's seed, one per annotator from here on. */
const STREAM = 1_000;

/**
 * The practice item, then the judged ones shuffled, with the checks spread among them. The orders of the grids are rows of a Williams
 * design: the row moves on with the item and with the annotator, so that over the items of one annotator, and over the annotators of one
 * item, each method stands in each place equally often, as far as the numbers divide.
 *
 * @param annotator number of the annotator, from 0 on, in the order of joining
 */
export function planFor(study: Study, annotator: number): PlannedItem[] {
	const random = new SeededRandom(study.seed, STREAM + annotator);
	const ofKind = (kind: StudyItem["kind"]) => study.items.filter((item) => item.kind === kind);
	const design = williamsDesign(study.items[0]!.grids.length);
	const placed = (item: StudyItem, number: number): PlannedItem => {
		const row = design[(annotator + number) % design.length]!;
		return { item, grids: row.map((index) => item.grids[index]!) };
	};
	const judged = ofKind("judged").map(placed);
	const checks = ofKind("check").map(placed);
	const shuffled = random.shuffle(judged.length).map((index) => judged[index]!);
	const order = random.shuffle(checks.length).map((index) => checks[index]!);
	const afterItem = new Map<number, PlannedItem[]>();
	for (const [i, check] of order.entries()) {
		// Somewhere in its share of the items, never before the first.
		const [first, end] = [i, i + 1].map((share) => Math.floor((share * shuffled.length) / order.length));
		const after = Math.min(shuffled.length - 1, first! + random.below(Math.max(1, end! - first!)));
		afterItem.set(after, [...(afterItem.get(after) ?? []), check]);
	}
	const main = shuffled.flatMap((item, i) => [item, ...(afterItem.get(i) ?? [])]);
	return [...ofKind("practice").map(placed), ...main];
}
