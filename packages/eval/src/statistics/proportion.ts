// A share of independent votes, with its interval.
import type { Interval } from "./bootstrap.js";

/** 97.5 % of a standard normal variable lies below. */
const Z = 1.959963984540054;

/** Wilson's 95 % score interval of a share (Wilson 1927): `count` of `n` independent votes, n ≥ 1. */
export function wilsonInterval(count: number, n: number): Interval {
	const share = count / n;
	const z2 = Z * Z;
	const centre = share + z2 / (2 * n);
	const half = Z * Math.sqrt((share * (1 - share)) / n + z2 / (4 * n * n));
	const scale = 1 + z2 / n;
	// At the ends the bound is 0 or 1 exactly, which rounding would miss.
	const low = count === 0 ? 0 : (centre - half) / scale;
	const high = count === n ? 1 : (centre + half) / scale;
	return [low, high];
}
