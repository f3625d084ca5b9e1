// Random numbers for resampling: the same for a seed on every machine.
import { philox4x32 } from "@dreamdist/core";

export class SeededRandom {
	private counter = 0;
	private words: number[] = [];

	/** @param stream tells apart what the same seed is used for */
	constructor(
		private readonly seed: number,
		private readonly stream = 0,
	) {}

	/** Uniform in [0, 1). */
	next(): number {
		if (this.words.length === 0)
			this.words = [...philox4x32([this.counter++, this.stream, 0, 0], [this.seed >>> 0, 0])];
		return this.words.pop()! / 2 ** 32;
	}

	/** A whole number in [0, n). */
	below(n: number): number {
		return Math.floor(this.next() * n);
	}

	/** n indices below n, repeats allowed. */
	resample(n: number): Int32Array {
		return Int32Array.from({ length: n }, () => this.below(n));
	}

	/** 0 … n − 1 in random order. */
	shuffle(n: number): number[] {
		const order = Array.from({ length: n }, (_, i) => i);
		for (let i = n - 1; i > 0; i--) {
			const j = this.below(i + 1);
			[order[i], order[j]] = [order[j]!, order[i]!];
		}
		return order;
	}
}
