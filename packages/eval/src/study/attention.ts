// Items with a right answer: one grid shows the references themselves, the others show something else.

/** A grid of such an item: whose references it shows, whole or scrambled. */
export interface AttentionGrid {
	readonly set: number;
	readonly scrambled: boolean;
}

/**
 * The grids of an attention item about a set: the set's own references first, then those of other sets in turn. Where there is no other
 * set, its own, cut to pieces.
 *
 * @param set which set's references are in the strip
 * @param sets how many sets there are
 * @param grids how many grids the item has
 */
export function attentionGrids(set: number, sets: number, grids: number): AttentionGrid[] {
	const others = Array.from({ length: sets - 1 }, (_, i) => (set + 1 + i) % sets);
	return Array.from({ length: grids }, (_, i) => {
		if (i === 0) return { set, scrambled: false };
		return others.length > 0 ? { set: others[(i - 1) % others.length]!, scrambled: false } : { set, scrambled: true };
	});
}
