import type { Question } from "./study-file.js";

/** What reports call the questions. */
export const QUESTION_TITLES: Readonly<Record<Question, string>> = {
	similarity: "Most similar to the references",
	diversity: "Most diverse",
	overall: "Best overall",
};

/** A probability as reports give it. */
export function probability(p: number): string {
	if (p < 1e-4) return "below 0.0001";
	return String(Number(p.toPrecision(2)));
}

export function percent(share: number): string {
	return Number.isFinite(share) ? `${(100 * share).toFixed(1)}\u00a0%` : "–";
}
