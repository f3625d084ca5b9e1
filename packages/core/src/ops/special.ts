// Special functions in float64, for the reference.

/** Gauss error function to full double precision: Taylor series for small |x|, continued fraction of erfc for large. */
export function erf(x: number): number {
	if (Number.isNaN(x)) return x;
	const a = Math.abs(x);
	if (a > 6) return Math.sign(x);
	if (a < 2.5) {
		// erf(x) = 2/√π · e^(−x²) · Σ 2ⁿ x^(2n+1) / (1·3·5…(2n+1)): all terms positive, no cancellation.
		let term = a;
		let sum = a;
		for (let n = 1; n < 200 && term > sum * 1e-17; n++) {
			term *= (2 * a * a) / (2 * n + 1);
			sum += term;
		}
		return Math.sign(x) * (2 / Math.sqrt(Math.PI)) * Math.exp(-a * a) * sum;
	}
	// erfc(x) = e^(−x²)/√π · 1/(x + ½/(x + 1/(x + 3⁄2/(x + …))))
	let fraction = a;
	for (let n = 120; n > 0; n--) fraction = a + n / 2 / fraction;
	return Math.sign(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / fraction);
}
