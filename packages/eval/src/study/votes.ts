// What the logs say once the key is applied: who passed the checks, and whose picture every vote was for.
import type { Answer, AnswerLogContents } from "./answer-log.js";
import { planFor } from "./plan.js";
import { QUESTIONS, type Question, type Study, type StudyKey } from "./study-file.js";

export interface Vote {
	readonly annotator: string;
	readonly set: string;
	readonly seed: number;
	readonly question: Question;
	/** The method's name. */
	readonly method: string;
	/** Where its grid stood, from 0 on. */
	readonly place: number;
	readonly milliseconds: number;
	readonly at: string;
}

export interface AnnotatorSummary {
	readonly annotator: string;
	/** Judged items with an answer, skipped, and not reached. */
	readonly answered: number;
	readonly skipped: number;
	readonly open: number;
	/** Answers that were given anew later. */
	readonly changed: number;
	/** Attention checks; a skipped one is failed, one not reached is neither. */
	readonly passed: number;
	readonly failed: number;
	/** Left out by the study's rule. */
	readonly excluded: boolean;
	/** Median time on a judged item; null without one. */
	readonly medianSeconds: number | null;
}

export interface UnblindedStudy {
	readonly annotators: readonly AnnotatorSummary[];
	/** Of everyone, those left out too. */
	readonly votes: readonly Vote[];
	readonly notes: readonly string[];
}

function median(values: readonly number[]): number | null {
	if (values.length === 0) return null;
	const sorted = [...values].sort((a, b) => a - b);
	const middle = sorted.length >> 1;
	return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Applies the key to the logs. Of several answers to an item the last counts; one sent twice is one. */
export function unblind(study: Study, key: StudyKey, logs: readonly AnswerLogContents[]): UnblindedStudy {
	const keys = new Map(key.items.map((item) => [item.id, item]));
	const annotators: AnnotatorSummary[] = [];
	const votes: Vote[] = [];
	const notes: string[] = [];
	for (const { path, header, answers, damaged } of logs) {
		if (damaged.length > 0)
			notes.push(
				`${path}: line ${damaged.join(", ")} can't be read and is left out; a server was killed while writing it.`,
			);
		const once = new Map(answers.map((answer) => [answer.submission, answer]));
		const last = new Map<string, Answer>();
		for (const answer of once.values()) last.set(answer.item, answer);
		const counts = { answered: 0, skipped: 0, open: 0, passed: 0, failed: 0 };
		const times: number[] = [];
		for (const { item } of planFor(study, header.number)) {
			const itemKey = keys.get(item.id);
			const answer = last.get(item.id);
			if (!itemKey) continue;
			if (itemKey.kind === "check") {
				if (answer) counts[answer.choices?.similarity === itemKey.right ? "passed" : "failed"]++;
				continue;
			}
			counts[answer ? (answer.choices ? "answered" : "skipped") : "open"]++;
			if (!answer?.choices) continue;
			times.push(answer.milliseconds / 1000);
			for (const question of QUESTIONS) {
				const grid = answer.choices[question];
				const method = itemKey.grids[grid];
				if (method === undefined) {
					notes.push(`${path}: an answer names a grid that the key does not have; that vote is left out.`);
					continue;
				}
				const { milliseconds, at, layout } = answer;
				const { set, seed } = itemKey;
				const place = layout.indexOf(grid);
				votes.push({ annotator: header.annotator, set, seed, question, method, place, milliseconds, at });
			}
		}
		annotators.push({
			annotator: header.annotator,
			...counts,
			changed: once.size - last.size,
			excluded: counts.failed > study.allowedFailures,
			medianSeconds: median(times),
		});
	}
	return { annotators, votes, notes };
}
