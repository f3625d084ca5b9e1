// The study's statistics against numbers derived elsewhere: with 40 digits (mpmath) from other formulas than the code's (Wilson's bounds as
// roots of (p − p̂)² = z² p (1 − p) / n, the multinomial by going through all ordered outcomes in whole numbers), and published ones.
import { describe, expect, it } from "vitest";
import { fleissKappa } from "../../src/statistics/agreement.js";
import { chiSquaredTail, equalSharesTest, logGamma } from "../../src/statistics/chi-squared.js";
import { clusteredShares } from "../../src/statistics/clustered-bootstrap.js";
import { multinomialTest } from "../../src/statistics/multinomial.js";
import { wilsonInterval } from "../../src/statistics/proportion.js";
import { SeededRandom } from "../../src/statistics/random.js";

function near(actual: number, expected: number, relative = 1e-13): void {
	expect(Math.abs(actual - expected)).toBeLessThanOrEqual(relative * Math.max(Math.abs(expected), 1e-300));
}

it.each([
	[60, 120, 0.41193870541108385, 0.5880612945889161],
	[17, 120, 0.09036879103483235, 0.21519494489857183],
	[0, 12, 0, 0.2424940066552409],
	[12, 12, 0.7575059933447591, 1],
	[1, 3, 0.06149194472039623, 0.7923403991979523],
])("Wilson's interval of %i of %i", (count, n, low, high) => {
	const interval = wilsonInterval(count, n);
	near(interval[0], low);
	near(interval[1], high);
});

it.each([
	[0.5, 0.5723649429247001],
	[1, 0],
	[2.5, 0.2846828704729192],
	[7, 6.579251212010101],
	[30, 71.25703896716801],
	[170.25, 702.7206616776805],
])("ln Γ(%f)", (x, expected) => expect(logGamma(x)).toBeCloseTo(expected, 12));

it.each([
	[0.1, 1, 0.7518296340458492],
	[3.84, 1, 0.0500435212487051],
	[7.8, 3, 0.05033109785985335],
	[2, 3, 0.5724067044708798],
	[45.5, 5, 1.1480071733936793e-8],
	[200, 9, 3.3129923939095533e-38],
])("χ² of at least %f with %i degrees of freedom", (value, degrees, p) =>
	near(chiSquaredTail(value, degrees), p, 1e-12),
);

describe("the multinomial test", () => {
	it.each([
		[[3, 0, 0], 1 / 9],
		[[9, 5, 3, 7], 0.3421506607324716],
		[[20, 8, 6, 6], 0.00862165202966489],
		[[61, 20, 19, 20], 5.407774031853738e-8],
		[[5, 5], 1],
		[[2, 1, 1, 0, 1], 0.9616],
		[[14, 2, 2, 2], 0.00036056674434803426],
		[[1, 1, 1, 1], 1],
	])("is exact for %j", (counts, p) => {
		const test = multinomialTest(counts);
		expect(test.method).toBe("exact");
		near(test.p, p, 1e-11);
	});

	it("does not depend on the order of the counts", () => {
		expect(multinomialTest([6, 20, 6, 8]).p).toBe(multinomialTest([20, 8, 6, 6]).p);
	});

	it("says where it approximates", () => {
		const counts = Array.from({ length: 9 }, (_, i) => 100 + i);
		expect(multinomialTest(counts)).toEqual({ method: "chi-squared", p: equalSharesTest(counts)!.p });
	});
});

describe("Fleiss' κ", () => {
	it("is that of the worked example with 14 raters, 10 subjects and 5 categories", () => {
		const table = [
			[0, 0, 0, 0, 14],
			[0, 2, 6, 4, 2],
			[0, 0, 3, 5, 6],
			[0, 3, 9, 2, 0],
			[2, 2, 8, 1, 1],
			[7, 7, 0, 0, 0],
			[3, 2, 6, 3, 0],
			[2, 5, 3, 2, 2],
			[6, 5, 2, 1, 0],
			[0, 2, 2, 3, 7],
		];
		near(fleissKappa(table)!, 4211 / 20059);
	});

	it("takes rows of unequal numbers of ratings and leaves out single ones", () => {
		const rows = [
			[3, 1, 0],
			[0, 2, 0],
			[1, 1, 1],
			[1, 0, 0],
			[0, 0, 4],
		];
		near(fleissKappa(rows)!, 389 / 896);
	});

	it("is 1 for full agreement, below 0 for less than chance, and unknown where chance alone agrees", () => {
		const agreeing = [
			[3, 0],
			[0, 3],
		];
		expect(fleissKappa(agreeing)).toBe(1);
		expect(fleissKappa([[1, 1]])!).toBe(-1);
		expect(fleissKappa([[3, 0]])).toBeNull();
		expect(fleissKappa([[1, 0]])).toBeNull();
	});
});

describe("the bootstrap over raters and things", () => {
	const options = { raters: 10, things: 12, categories: 3 };
	const everyVote = (category: (rater: number, thing: number) => number) =>
		Array.from({ length: 120 }, (_, i) => {
			const [rater, thing] = [i % 10, Math.floor(i / 10)];
			return { rater, thing, category: category(rater, thing) };
		});

	it("is as wide as independent raters make it where a vote depends on the rater alone", () => {
		// 5 of 10 raters always vote 0: the share in a resample is binomial(10, ½)/10, whose 2.5 and 97.5 % quantiles are 0.2 and 0.8.
		const votes = everyVote((rater) => (rater < 5 ? 0 : 1));
		const { intervals, leads } = clusteredShares(votes, options, new SeededRandom(1), 4000);
		expect(intervals[0]![0]).toBeCloseTo(0.2, 10);
		expect(intervals[0]![1]).toBeCloseTo(0.8, 10);
		expect(intervals[2]).toEqual([0, 0]);
		// P(more than 5 of 10) = 0.376953125, and half of P(5 of 10) = 0.24609375.
		expect(leads[0]).toBeCloseTo(0.5, 1);
		expect(leads[0]! + leads[1]! + leads[2]!).toBeCloseTo(1, 10);
	});

	it("is as wide as independent things make it where a vote depends on the thing alone", () => {
		// 6 of 12 things: binomial(12, ½)/12, with quantiles 3/12 and 9/12.
		const votes = everyVote((_, thing) => (thing < 6 ? 0 : 2));
		const { intervals } = clusteredShares(votes, options, new SeededRandom(2), 4000);
		expect(intervals[0]![0]).toBeCloseTo(3 / 12, 10);
		expect(intervals[0]![1]).toBeCloseTo(9 / 12, 10);
	});

	it("is the same for the same seed", () => {
		const votes = everyVote((rater, thing) => (rater * thing) % 3);
		const twice = [0, 1].map(() => clusteredShares(votes, options, new SeededRandom(3), 300));
		expect(twice[0]).toEqual(twice[1]);
	});
});
