// Random numbers for the host, from the generator that the engine uses: a seed gives the same pictures on every machine.
import { philox4x32 } from "@dreamdist/core";
import type { RandomSource } from "./shapes.js";

/** Numbers that depend on the seed and on how many were drawn before. */
export class PhiloxSource implements RandomSource {
	readonly #key: readonly [number, number];
	#block = 0;
	#words: number[] = [];

	/** @param stream another stream of the same seed has other numbers */
	constructor(seed: number, stream: number) {
		this.#key = [seed, stream];
	}

	uniform(): number {
		if (this.#words.length === 0) this.#words = [...philox4x32([this.#block++, 0, 0, 0], this.#key)];
		return this.#words.pop()! / 2 ** 32;
	}

	normal(): number {
		return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
	}
}
