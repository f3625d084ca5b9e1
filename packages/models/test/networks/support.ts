/** Mean and unbiased standard deviation. */
export function statistics(values: ArrayLike<number>): { mean: number; std: number } {
	const numbers = Array.from(values);
	const mean = numbers.reduce((a, b) => a + b, 0) / numbers.length;
	const squares = numbers.reduce((a, b) => a + (b - mean) ** 2, 0);
	return { mean, std: Math.sqrt(squares / (numbers.length - 1)) };
}

/** ‖actual − expected‖ / ‖expected‖ */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
	let difference = 0;
	let norm = 0;
	for (let i = 0; i < expected.length; i++) {
		difference += (actual[i]! - expected[i]!) ** 2;
		norm += expected[i]! ** 2;
	}
	return Math.sqrt(difference / norm);
}
