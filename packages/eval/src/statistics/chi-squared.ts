// Pearson's test of counts against equal shares.

/** ln Γ(x) for x > 0: Stirling's series, after bringing x above 12 by the recurrence. Relative error below 1e-14. */
export function logGamma(x: number): number {
	let shift = 0;
	let y = x;
	while (y < 12) shift += Math.log(y++);
	const r = 1 / (y * y);
	const series = (((-1 / 1680) * r + 1 / 1260) * r - 1 / 360) * r + 1 / 12;
	const more = ((-691 / 360360) * r + 1 / 1188) * r * r ** 3;
	return (y - 0.5) * Math.log(y) - y + 0.5 * Math.log(2 * Math.PI) + (series + more) / y - shift;
}

/** Q(a, x) = Γ(a, x) / Γ(a), a > 0, x ≥ 0: its power series left of a + 1, Lentz's continued fraction right of it. */
function upperGamma(a: number, x: number): number {
	if (x <= 0) return 1;
	const front = Math.exp(a * Math.log(x) - x - logGamma(a));
	if (x < a + 1) {
		let term = 1 / a;
		let sum = term;
		for (let k = a + 1; Math.abs(term) > sum * 1e-17; k++) {
			term *= x / k;
			sum += term;
		}
		return 1 - front * sum;
	}
	const tiny = 1e-300;
	let b = x + 1 - a;
	let c = 1 / tiny;
	let d = 1 / b;
	let fraction = d;
	for (let k = 1; k < 10_000; k++) {
		const step = -k * (k - a);
		b += 2;
		d = step * d + b;
		d = 1 / (Math.abs(d) < tiny ? tiny : d);
		c = b + step / c;
		if (Math.abs(c) < tiny) c = tiny;
		fraction *= d * c;
		if (Math.abs(d * c - 1) < 1e-16) break;
	}
	return front * fraction;
}

/** The probability that a χ² variable of `degrees` degrees of freedom is at least `value`. */
export function chiSquaredTail(value: number, degrees: number): number {
	return upperGamma(degrees / 2, value / 2);
}

export interface ChiSquaredTest {
	readonly statistic: number;
	readonly degrees: number;
	readonly p: number;
}

/** Pearson's χ² of counts against equal shares, two counts or more; null where there is nothing counted. */
export function equalSharesTest(counts: readonly number[]): ChiSquaredTest | null {
	const n = counts.reduce((sum, count) => sum + count, 0);
	if (n === 0) return null;
	const expected = n / counts.length;
	const statistic = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
	const degrees = counts.length - 1;
	return { statistic, degrees, p: chiSquaredTail(statistic, degrees) };
}
