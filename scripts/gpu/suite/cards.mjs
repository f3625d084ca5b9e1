// What a card can do at best, for the shares of the floor.

/**
 * Rates by card. `bf16` and `f32` in TFLOP/s, `bytes` in TB/s. Of the H200 bf16 and bytes are what PyTorch was measured to reach on one (an
 * 8192³ product of random numbers, a copy counted as read and written); f32, and the other cards, are the vendor's.
 */
const CARDS = [
	[/H200/, { bf16: 790, f32: 67, bytes: 4.3 }],
	[/H100/, { bf16: 989, f32: 67, bytes: 3.35 }],
	[/A100/, { bf16: 312, f32: 19.5, bytes: 2.0 }],
	[/RTX 4090/, { bf16: 165, f32: 82.6, bytes: 1.0 }],
];

/** The rates of a card by its name; null for one that is not known. */
export function ratesOf(name) {
	return CARDS.find(([pattern]) => pattern.test(name ?? ""))?.[1] ?? null;
}

/** The least time in seconds: whatever takes longer of arithmetic and memory. */
export function floorSeconds(rates, dtype, flop, bytes) {
	if (rates === null) return null;
	// Tensor cores do half as many products of tf32 as of 16 bits.
	const rate = dtype === "f32" ? rates.f32 : dtype === "tf32" ? rates.bf16 / 2 : rates.bf16;
	return Math.max(flop / (rate * 1e12), bytes / (rates.bytes * 1e12));
}
