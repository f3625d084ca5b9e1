// Shares of votes that are not independent: the same people judge, and the same things are judged.
import { type Interval, quantile } from "./bootstrap.js";
import type { SeededRandom } from "./random.js";

/** A vote; each number is an index. */
export interface ClusteredVote {
	readonly rater: number;
	readonly thing: number;
	readonly category: number;
}

export interface ClusteredShares {
	/** 95 % interval of each category's share. */
	readonly intervals: readonly Interval[];
	/** In how many of the resamples each category has the most votes; a tie is shared. */
	readonly leads: readonly number[];
}

const TAIL = 0.025;

/**
 * Raters and things are both drawn again with repeats (Owen's pigeonhole bootstrap, 2007), so that the intervals hold for other raters and
 * other things, not only for other votes of the same. A vote counts as often as its rater times its thing was drawn.
 */
export function clusteredShares(
	votes: readonly ClusteredVote[],
	{ raters, things, categories }: { raters: number; things: number; categories: number },
	random: SeededRandom,
	resamples: number,
): ClusteredShares {
	const shares = Array.from({ length: categories }, () => [] as number[]);
	const leads = new Float64Array(categories);
	const counts = new Float64Array(categories);
	for (let i = 0; i < resamples; i++) {
		const ofRater = timesDrawn(random.resample(raters));
		const ofThing = timesDrawn(random.resample(things));
		counts.fill(0);
		for (const { rater, thing, category } of votes) counts[category]! += ofRater[rater]! * ofThing[thing]!;
		const total = counts.reduce((sum, count) => sum + count, 0);
		// Where most votes are missing, none may have been drawn.
		if (total === 0) continue;
		const most = Math.max(...counts);
		const leaders = counts.reduce((sum, count) => sum + (count === most ? 1 : 0), 0);
		for (let c = 0; c < categories; c++) {
			shares[c]!.push(counts[c]! / total);
			if (counts[c] === most) leads[c]! += 1 / leaders;
		}
	}
	const drawn = shares[0]!.length;
	return {
		intervals: shares.map((each) => {
			if (drawn === 0) return [Number.NaN, Number.NaN];
			const sorted = Float64Array.from(each).sort();
			return [quantile(sorted, TAIL), quantile(sorted, 1 - TAIL)];
		}),
		leads: [...leads].map((lead) => lead / drawn),
	};
}

function timesDrawn(indices: Int32Array): Int32Array {
	const times = new Int32Array(indices.length);
	for (const index of indices) times[index]!++;
	return times;
}
