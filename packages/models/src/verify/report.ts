// What a verification says.

/** How one case went. */
export interface CaseResult {
	name: string;
	kind: string;
	/** Of the tensor that comes closest to its bound, or is furthest over it; null where nothing could be compared. */
	error: number | null;
	bound: number;
	pass: boolean;
	/** Why it failed, in a sentence. */
	message?: string;
}

export interface VerifyReport {
	device: string;
	/** Kernel launches on that device. */
	launches: number;
	passed: number;
	failed: number;
	cases: CaseResult[];
}

/** One comparison of a case: a tensor, its error and the bound to hold it to. */
export interface Comparison {
	readonly what: string;
	/** Relative, in the norm; 0 where all is exact. */
	readonly error: number;
	readonly bound: number;
	/** How many numbers were compared, where they may be few. */
	readonly count?: number;
	/** Where each number is a sign times the same size (the change of AdamW's first step): the error that one wrong sign makes. */
	readonly ofOneSign?: number;
	/** What differs, for the message. */
	readonly detail?: string;
}

/** ‖actual − expected‖ / ‖expected‖; against zeros, the norm of what should be zero. NaN where anything is. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
	let difference = 0;
	let norm = 0;
	for (let i = 0; i < expected.length; i++) {
		difference += (actual[i]! - expected[i]!) ** 2;
		norm += expected[i]! ** 2;
	}
	return Math.sqrt(norm === 0 ? difference : difference / norm);
}

/** A case's result from its comparisons. */
export function judge(name: string, kind: string, comparisons: readonly Comparison[]): CaseResult {
	if (comparisons.length === 0) return failure(name, kind, "nothing was compared");
	const over = ({ error, bound }: Comparison) => {
		if (!Number.isFinite(error)) return Number.POSITIVE_INFINITY;
		// Where all must be exact the bound is 0, and 0 / 0 would compare with nothing.
		return error === 0 ? 0 : error / bound;
	};
	const worst = comparisons.reduce((a, b) => (over(b) > over(a) ? b : a));
	const { what, error, bound, detail } = worst;
	if (!Number.isFinite(error)) return { ...failure(name, kind, `${what} is not finite`), bound };
	if (error <= bound) return { name, kind, error, bound, pass: true };
	return { name, kind, error, bound, pass: false, message: detail ?? `${what} is off by ${error.toExponential(2)}` };
}

export function failure(name: string, kind: string, message: string): CaseResult {
	return { name, kind, error: null, bound: 0, pass: false, message };
}

/** Puts results together. */
export function summarise(device: string, launches: number, cases: CaseResult[]): VerifyReport {
	const passed = cases.filter(({ pass }) => pass).length;
	return { device, launches, passed, failed: cases.length - passed, cases };
}
