/** The kernels of antialiased resizing, named as in Pillow. */
export type ResizeFilter = "bilinear" | "bicubic" | "lanczos";

export const RESIZE_FILTERS: readonly ResizeFilter[] = ["bilinear", "bicubic", "lanczos"];

/** Half the width of each kernel, in source pixels at equal size. */
const SUPPORT: Record<ResizeFilter, number> = { bilinear: 1, bicubic: 2, lanczos: 3 };

/** The kernels as functions of the distance, which is within the support. */
const KERNEL: Record<ResizeFilter, (x: number) => number> = {
	bilinear: (x) => Math.max(0, 1 - Math.abs(x)),
	// Keys' cubic convolution with a = -0.5, in the order of operations that Pillow uses.
	bicubic(x) {
		const a = -0.5;
		const d = Math.abs(x);
		if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
		if (d < 2) return (((d - 5) * d + 8) * d - 4) * a;
		return 0;
	},
	lanczos: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0),
};

function sinc(x: number): number {
	if (x === 0) return 1;
	const t = x * Math.PI;
	return Math.sin(t) / t;
}

/** How each output position of one axis is a weighted sum of neighbouring input positions. */
export interface Taps {
	/** Row length of `weights`. */
	readonly width: number;
	/** First input position per output position. */
	readonly first: Int32Array;
	/** How many input positions it sums. */
	readonly count: Int32Array;
	/** [output, width], each row summing to 1; what lies beyond `count` is 0. */
	readonly weights: Float64Array;
}

/**
 * The taps that resize an axis from `input` to `output` positions. When reducing, the kernel widens by the factor of the
 * reduction, which is what antialiases; at the border the taps outside are dropped and the rest renormalised.
 */
export function resampleTaps(input: number, output: number, filter: ResizeFilter): Taps {
	const scale = input / output;
	const stretch = Math.max(scale, 1);
	const support = SUPPORT[filter] * stretch;
	const kernel = KERNEL[filter];
	const inverse = 1 / stretch;
	const width = Math.ceil(support) * 2 + 1;
	const first = new Int32Array(output);
	const count = new Int32Array(output);
	const weights = new Float64Array(output * width);
	for (let i = 0; i < output; i++) {
		const center = (i + 0.5) * scale;
		const begin = Math.max(0, Math.trunc(center - support + 0.5));
		const end = Math.min(input, Math.trunc(center + support + 0.5));
		const row = weights.subarray(i * width, i * width + end - begin);
		let sum = 0;
		for (let j = 0; j < row.length; j++) {
			const weight = kernel((j + begin - center + 0.5) * inverse);
			row[j] = weight;
			sum += weight;
		}
		if (sum !== 0) for (let j = 0; j < row.length; j++) row[j]! /= sum;
		first[i] = begin;
		count[i] = row.length;
	}
	return { width, first, count, weights };
}

/** Fractional bits of the fixed-point weights for 8-bit pictures. */
export const FRACTION_BITS = 22;

/** The weights in fixed point, each rounded to nearest with halves away from zero. */
export function fixedPointWeights(taps: Taps): Int32Array {
	return Int32Array.from(taps.weights, (w) => Math.trunc(w * 2 ** FRACTION_BITS + (w < 0 ? -0.5 : 0.5)));
}
