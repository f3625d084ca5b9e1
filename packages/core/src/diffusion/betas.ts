/** How β grows over the training timesteps; the names are diffusers'. */
export const BETA_SCHEDULES = ["linear", "scaled_linear", "squaredcos_cap_v2"] as const;
export type BetaSchedule = (typeof BETA_SCHEDULES)[number];

export interface BetaOptions {
	trainTimesteps: number;
	betaStart: number;
	betaEnd: number;
	betaSchedule: BetaSchedule;
	/** β given one by one instead of by a formula; its length is `trainTimesteps`. */
	trainedBetas: readonly number[] | null;
	/** Shift and scale √ᾱ so that the last timestep carries no signal (Lin et al. 2023, Algorithm 1). */
	rescaleBetasZeroSnr: boolean;
}

/**
 * ᾱ_t = Π(1 − β) for every training timestep, as float32: checkpoints were trained with these roundings, and near t = 0
 * the difference 1 − ᾱ keeps only a few of float32's digits.
 *
 * @returns [trainTimesteps], decreasing; the last value is exactly 0 with `rescaleBetasZeroSnr`.
 */
export function cumulativeAlphas(options: BetaOptions): Float32Array {
	const betas = trainingBetas(options);
	const alphas = cumulativeProduct(betas);
	return options.rescaleBetasZeroSnr ? cumulativeProduct(zeroSnrBetas(alphas)) : alphas;
}

function trainingBetas(options: BetaOptions): Float32Array {
	const { trainTimesteps, betaStart, betaEnd } = options;
	if (options.trainedBetas) return Float32Array.from(options.trainedBetas);
	switch (options.betaSchedule) {
		case "linear":
			return linspace32(betaStart, betaEnd, trainTimesteps);
		case "scaled_linear":
			return linspace32(Math.sqrt(betaStart), Math.sqrt(betaEnd), trainTimesteps).map((root) => root * root);
		case "squaredcos_cap_v2":
			return Float32Array.from({ length: trainTimesteps }, (_, i) =>
				Math.min(1 - cosineAlpha((i + 1) / trainTimesteps) / cosineAlpha(i / trainTimesteps), 0.999),
			);
	}
}

/** ᾱ of the cosine schedule (Nichol & Dhariwal 2021) at a fraction of the training time. */
function cosineAlpha(time: number): number {
	return Math.cos((((time + 0.008) / 1.008) * Math.PI) / 2) ** 2;
}

/** Evenly spaced float32 numbers, counted from the nearer end so that both ends are exact. */
function linspace32(start: number, end: number, count: number): Float32Array {
	const first = Math.fround(start);
	const last = Math.fround(end);
	if (count === 1) return Float32Array.of(first);
	const step = Math.fround(Math.fround(last - first) / (count - 1));
	return Float32Array.from({ length: count }, (_, i) =>
		i < count / 2 ? first + step * i : last - step * (count - 1 - i),
	);
}

function cumulativeProduct(betas: Float32Array): Float32Array {
	let product = 1;
	return betas.map((beta) => {
		product *= Math.fround(1 - beta);
		return product;
	});
}

function zeroSnrBetas(alphasCumprod: Float32Array): Float32Array {
	const roots = alphasCumprod.map(Math.sqrt);
	const first = roots[0]!;
	const last = roots[roots.length - 1]!;
	const stretch = Math.fround(first / Math.fround(first - last));
	const rescaled = roots.map((root) => Math.fround(Math.fround(root - last) * stretch) ** 2);
	return rescaled.map((alpha, t) => 1 - Math.fround(t === 0 ? alpha : alpha / rescaled[t - 1]!));
}
