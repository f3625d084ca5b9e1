// Numbers to compute with, and what to make of times.

/**
 * Between −1 and 1 and without a pattern; the same whenever asked for. A block is drawn and repeated. `encode` makes a Float32Array
 * something else.
 */
export function noise(count, seed = 1, encode = (numbers) => numbers) {
	const drawn = new Float32Array(Math.min(count, 1 << 16));
	let state = (seed * 2654435761) >>> 0;
	for (let i = 0; i < drawn.length; i++) {
		state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
		drawn[i] = (state >>> 8) * 2 ** -23 - 1;
	}
	const block = encode(drawn);
	const out = new block.constructor(count);
	for (let at = 0; at < count; at += block.length) out.set(block.subarray(0, Math.min(block.length, count - at)), at);
	return out;
}

/** Keys of the engine's Philox generator: any distinct numbers serve. */
export const keys = (rows, purpose) => Int32Array.from({ length: rows * 4 }, (_, i) => purpose * 1000 + i);

export const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

/** Seconds that `work` takes. */
export async function secondsOf(work) {
	const started = performance.now();
	await work();
	return (performance.now() - started) / 1000;
}

/** ‖a − b‖ / ‖b‖ */
export function relativeError(a, b) {
	let difference = 0;
	let size = 0;
	for (let i = 0; i < b.length; i++) {
		difference += (a[i] - b[i]) ** 2;
		size += b[i] ** 2;
	}
	const error = Math.sqrt(difference / size);
	return a.length === b.length && Number.isFinite(error) ? error : Number.POSITIVE_INFINITY;
}
