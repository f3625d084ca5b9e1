/** Mean and unbiased standard deviation. */
export function statistics(values: ArrayLike<number>): { mean: number; std: number } {
	const numbers = Array.from(values);
	const mean = numbers.reduce((a, b) => a + b, 0) / numbers.length;
	const squares = numbers.reduce((a, b) => a + (b - mean) ** 2, 0);
	return { mean, std: Math.sqrt(squares / (numbers.length - 1)) };
}
