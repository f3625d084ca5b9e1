// Agreement of several raters beyond chance.

/**
 * Fleiss' κ (1971). Rows need not have equally many ratings (skipped ones are left out): the agreement within a row is averaged over rows
 * of two ratings or more, and chance agreement is of all ratings in them.
 *
 * @param table a row per rated thing, a column per category, how many raters chose it
 * @returns null where no row has two ratings, or all ratings are of one category and chance alone agrees
 */
export function fleissKappa(table: readonly (readonly number[])[]): number | null {
	let rows = 0;
	let within = 0;
	let ratings = 0;
	const totals: number[] = [];
	for (const row of table) {
		const n = row.reduce((sum, count) => sum + count, 0);
		if (n < 2) continue;
		rows++;
		ratings += n;
		within += (row.reduce((sum, count) => sum + count * count, 0) - n) / (n * (n - 1));
		for (const [category, count] of row.entries()) totals[category] = (totals[category] ?? 0) + count;
	}
	if (rows === 0) return null;
	const chance = totals.reduce((sum, total) => sum + (total / ratings) ** 2, 0);
	return chance >= 1 ? null : (within / rows - chance) / (1 - chance);
}
