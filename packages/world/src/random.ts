// Deterministic randomness: every draw is a function of an integer seed and a label.

function mix32(bits: number): number {
	let z = bits;
	z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
	z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
	return (z ^ (z >>> 16)) >>> 0;
}

/** FNV-1a over UTF-16 units. */
function hashLabel(label: string): number {
	let h = 0x811c9dc5;
	for (let i = 0; i < label.length; i++) h = Math.imul(h ^ label.charCodeAt(i), 0x01000193);
	return h >>> 0;
}

/**
 * A stream of random numbers (xoshiro128**) for a seed and a label. Streams of different labels are independent, so that fixing one
 * attribute of a scene leaves the draws of all others as they were.
 */
export class RandomStream {
	private readonly state: [number, number, number, number] = [0, 0, 0, 0];

	/** @param seed a whole number within ±2^53 */
	constructor(seed: number, label = "") {
		const low = seed >>> 0;
		const high = Math.floor(seed / 2 ** 32) >>> 0;
		const name = hashLabel(label);
		let z = mix32(low ^ mix32(high + 0x9e3779b9) ^ mix32(name ^ 0x51ed270b));
		for (let i = 0; i < 4; i++) {
			z = (z + 0x9e3779b9) >>> 0;
			this.state[i] = mix32(z ^ Math.imul(low + i * 0x632be5ab, 0x2545f491) ^ Math.imul(name, i * 2 + 1));
		}
		if (this.state.every((word) => word === 0)) this.state[0] = 1;
		for (let i = 0; i < 4; i++) this.bits();
	}

	/** 32 random bits. */
	bits(): number {
		const s = this.state;
		const r = Math.imul(s[1], 5);
		const out = Math.imul((r << 7) | (r >>> 25), 9) >>> 0;
		const t = s[1] << 9;
		s[2] ^= s[0];
		s[3] ^= s[1];
		s[1] ^= s[2];
		s[0] ^= s[3];
		s[2] ^= t;
		s[3] = (s[3] << 11) | (s[3] >>> 21);
		return out;
	}

	/** Uniform in [0, 1). */
	uniform(): number {
		return this.bits() / 2 ** 32;
	}

	range(low: number, high: number): number {
		return low + (high - low) * this.uniform();
	}

	/** A whole number from `low` to `high`, both included. */
	integer(low: number, high: number): number {
		return low + Math.floor(this.uniform() * (high - low + 1));
	}

	/** True with probability `p`. */
	chance(p = 0.5): boolean {
		return this.uniform() < p;
	}

	pick<T>(values: readonly T[]): T {
		return values[Math.floor(this.uniform() * values.length)]!;
	}

	/** One of the values, each with its weight. */
	weighted<T>(values: readonly T[], weights: readonly number[]): T {
		let rest = this.uniform() * weights.reduce((sum, weight) => sum + weight, 0);
		for (let i = 0; i < values.length; i++) {
			rest -= weights[i]!;
			if (rest < 0) return values[i]!;
		}
		return values.at(-1)!;
	}

	/** Normal with mean 0 and standard deviation 1. */
	normal(): number {
		let u = 0;
		while (u === 0) u = this.uniform();
		return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * this.uniform());
	}
}
