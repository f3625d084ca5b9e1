// Bounds for low precision: the errors of a naive computation of the same graph in the same precision.
import type { Device } from "@dreamdist/core";
import type { VerifyRunner } from "./case.js";
import { type CaseResult, type Comparison, failure, judge } from "./report.js";

/** The largest relative error of rounding to a type. */
const ROUNDING = { f32: 2 ** -24, tf32: 2 ** -11, f16: 2 ** -11, bf16: 2 ** -8 } as const;

/** The largest relative error of what a device rounds most. */
const roundingOf = ({ activations, tf32 }: Device): number =>
	ROUNDING[activations === "f32" && tf32 ? "tf32" : activations];
/** Errors of fewer numbers do not average out: the naive computation's may be small by luck, and one rounding is allowed. */
const FEW = 16;
/** A naive error this many times smaller than one rounding is no luck: those numbers are computed in f32. */
const LUCK = 64;
/** How much larger than the naive computation's the device's error may be. */
const FACTOR = 2;
/** Signs of numbers that are nearly 0 are luck: with one expected to be wrong, the naive computation often has none and the device four. */
const WRONG_SIGNS = 4;
/** Where each step starts from the one before, errors of either grow by luck. */
const CHAIN_FACTOR = 3;
const CHAINS = new Set(["prompt_train", "generate"]);

/**
 * Judges a case. With a yardstick, each comparison's bound is that many times the yardstick's own error, but no less than the bound for f32;
 * where few numbers are compared, no less than one rounding, and where signs are, no less than a few of them.
 *
 * @param compare runs the case on a runner's device
 */
export async function verifyCase(
	name: string,
	kind: string,
	compare: (runner: VerifyRunner) => Promise<readonly Comparison[]>,
	runner: VerifyRunner,
	yardstick?: VerifyRunner,
): Promise<CaseResult> {
	try {
		const own = yardstick ? await compare(yardstick) : [];
		const comparisons = await compare(runner);
		return judge(
			name,
			kind,
			yardstick ? measuredBy(kind, comparisons, own, roundingOf(yardstick.device)) : comparisons,
		);
	} catch (error) {
		return failure(name, kind, (error as Error).message);
	}
}

function measuredBy(
	kind: string,
	comparisons: readonly Comparison[],
	own: readonly Comparison[],
	rounding: number,
): Comparison[] {
	const factor = CHAINS.has(kind) ? CHAIN_FACTOR : FACTOR;
	return comparisons.map((comparison, i) => {
		const naive = own[i]?.what === comparison.what ? own[i].error : Number.NaN;
		if (!Number.isFinite(naive)) return comparison;
		const few = (comparison.count ?? FEW) < FEW && naive > rounding / LUCK ? rounding : 0;
		const signs = Math.sqrt(WRONG_SIGNS) * (comparison.ofOneSign ?? 0);
		return { ...comparison, bound: Math.max(comparison.bound, factor * naive, few, signs) };
	});
}
