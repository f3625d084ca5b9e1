// The exact test of counts against equal shares.
import { equalSharesTest } from "./chi-squared.js";

/** More ways to split the votes than this are not gone through. */
const MOST_SPLITS = 5_000_000;

/** Outcomes as probable as the observed one count as such despite rounding. */
const SAME = 1e-9;

export interface MultinomialTest {
	readonly p: number;
	/** How p was computed: over all outcomes, or by Pearson's approximation where they are too many. */
	readonly method: "exact" | "chi-squared";
}

/** ln 0! … ln n! */
function logFactorials(n: number): Float64Array {
	const table = new Float64Array(n + 1);
	for (let i = 2; i <= n; i++) table[i] = table[i - 1]! + Math.log(i);
	return table;
}

/** About how many ways there are to write n as a sum of at most k parts, order aside. */
function splits(n: number, k: number): number {
	let product = 1;
	for (let i = 1; i < k; i++) product *= (n + (k * (k + 1)) / 4) / (i * (i + 1));
	return product;
}

/**
 * The probability, were all categories equally likely, of an outcome no more likely than the observed one. Outcomes that differ only in
 * the order of their counts are equally likely, so partitions are gone through, each with the number of its orders.
 *
 * @param counts two or more, not all of them 0
 */
export function multinomialTest(counts: readonly number[]): MultinomialTest {
	const k = counts.length;
	const n = counts.reduce((sum, count) => sum + count, 0);
	if (splits(n, k) > MOST_SPLITS) return { p: equalSharesTest(counts)!.p, method: "chi-squared" };
	const logs = logFactorials(Math.max(n, k));
	const front = logs[n]! - n * Math.log(k);
	const observed = counts.reduce((sum, count) => sum - logs[count]!, front);
	let p = 0;
	/** Counts still to choose, none above `most`; of the last one chosen there are `run`. `orders` is ln of k! over the finished runs' factorials. */
	const visit = (left: number, places: number, most: number, run: number, log: number, orders: number): void => {
		if (places === 0) {
			if (log <= observed + SAME) p += Math.exp(log + orders - logs[run]!);
			return;
		}
		const least = Math.ceil(left / places);
		for (let next = Math.min(left, most); next >= least; next--) {
			const same = next === most && run > 0;
			visit(left - next, places - 1, next, same ? run + 1 : 1, log - logs[next]!, same ? orders : orders - logs[run]!);
		}
	};
	visit(n, k, n, 0, front, logs[k]!);
	return { p: Math.min(1, p), method: "exact" };
}
