// LPIPS within a set of pictures.
import { type Device, type ImageU8, imagesToF32, type Value } from "@dreamdist/core";
import { LPIPS, loadEncoder, lpipsOfHalves } from "@dreamdist/models";
import type { SeededRandom } from "../statistics/random.js";
import { toSquare } from "./prepare.js";

/** Pictures are compared at this side. */
export const LPIPS_SIDE = 256;
/** More pairs than these are not measured; they are drawn. */
const MOST_PAIRS = 1000;
/** Pairs of one run. */
const BATCH = 4;

export interface LpipsPairs {
	readonly first: Int32Array;
	readonly second: Int32Array;
	readonly distance: Float64Array;
}

/**
 * Distances of all pairs of different pictures, or of 1,000 drawn ones where there are more.
 *
 * @param read the picture of an index
 */
export async function lpipsPairs(
	device: Device,
	path: string,
	count: number,
	read: (index: number) => Promise<ImageU8>,
	random: SeededRandom,
	signal?: AbortSignal,
): Promise<LpipsPairs> {
	const pairs = choosePairs(count, random);
	const files = await loadEncoder(LPIPS, path);
	const { config, weights } = files.component;
	const program = await device.compile(
		(graph): Record<string, Value> => {
			const pictures = graph.input("pictures", [2 * BATCH, LPIPS_SIDE, LPIPS_SIDE, 3]);
			return Object.fromEntries(
				lpipsOfHalves(weights.open(graph), config, pictures).map((value, i) => [`layer${i}`, value]),
			);
		},
		{ name: "lpips", ...(signal && { signal }) },
	);
	try {
		const kept = new RecentPictures(read);
		const distance = new Float64Array(pairs.length);
		for (let from = 0; from < pairs.length; from += BATCH) {
			signal?.throwIfAborted();
			const used = pairs.slice(from, from + BATCH);
			const padded = Array.from({ length: BATCH }, (_, i) => used[i] ?? used[0]!);
			const pictures: ImageU8[] = [];
			for (const side of [0, 1] as const) for (const pair of padded) pictures.push(await kept.get(pair[side]));
			const layers = Object.values(await program.run({ pictures: imagesToF32(pictures).data }));
			used.forEach((_, i) => {
				distance[from + i] = layers.reduce((sum, layer) => sum + layer[i]!, 0);
			});
		}
		return {
			first: Int32Array.from(pairs, ([first]) => first),
			second: Int32Array.from(pairs, ([, second]) => second),
			distance,
		};
	} finally {
		program.dispose();
		weights.release(device);
		files.dispose();
	}
}

function choosePairs(count: number, random: SeededRandom): (readonly [number, number])[] {
	const total = (count * (count - 1)) / 2;
	if (total <= MOST_PAIRS)
		return Array.from({ length: count }, (_, i) =>
			Array.from({ length: count - i - 1 }, (_, j) => [i, i + 1 + j] as const),
		).flat();
	const chosen = new Map<number, readonly [number, number]>();
	while (chosen.size < MOST_PAIRS) {
		const [a, b] = [random.below(count), random.below(count)];
		if (a !== b) chosen.set(Math.min(a, b) * count + Math.max(a, b), [Math.min(a, b), Math.max(a, b)]);
	}
	return [...chosen.values()].sort(([a, b], [c, d]) => a - c || b - d);
}

/** The last pictures read, at the side they are compared at: pairs in order come back to the same ones. */
class RecentPictures {
	private readonly pictures = new Map<number, Promise<ImageU8>>();

	constructor(private readonly read: (index: number) => Promise<ImageU8>) {}

	get(index: number): Promise<ImageU8> {
		const known = this.pictures.get(index) ?? this.read(index).then((image) => toSquare(image, LPIPS_SIDE));
		this.pictures.delete(index);
		this.pictures.set(index, known);
		const oldest = this.pictures.keys().next();
		if (this.pictures.size > 256 && !oldest.done) this.pictures.delete(oldest.value);
		return known;
	}
}
