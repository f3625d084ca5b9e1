// Seeded random choices for tests.

export class TestRandom {
	private state: number;

	constructor(seed: number) {
		this.state = seed >>> 0 || 1;
	}

	/** Uniform in [0, 1). */
	uniform(): number {
		// xorshift32
		let x = this.state;
		x ^= x << 13;
		x ^= x >>> 17;
		x ^= x << 5;
		this.state = x >>> 0;
		return this.state / 2 ** 32;
	}

	normal(): number {
		return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
	}

	integer(low: number, high: number): number {
		return low + Math.floor(this.uniform() * (high - low + 1));
	}

	choose<T>(items: readonly T[]): T {
		return items[this.integer(0, items.length - 1)]!;
	}

	boolean(): boolean {
		return this.uniform() < 0.5;
	}

	normals(count: number): Float32Array {
		return Float32Array.from({ length: count }, () => this.normal());
	}
}
