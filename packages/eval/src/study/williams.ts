// Orders that balance places and neighbours.

/**
 * A Williams design of k things: a Latin square for even k, two for odd. Every thing stands in every place equally often, and every thing
 * follows every other equally often (Williams 1949).
 *
 * @returns k or 2k rows, each an order of 0 … k − 1
 */
export function williamsDesign(k: number): number[][] {
	// 0, 1, k − 1, 2, k − 2, …
	const zigzag = Array.from({ length: k }, (_, i) => (i % 2 === 1 ? (i + 1) / 2 : (k - i / 2) % k));
	const square = Array.from({ length: k }, (_, shift) => zigzag.map((thing) => (thing + shift) % k));
	return k % 2 === 0 ? square : [...square, ...square.map((row) => row.toReversed())];
}
