// The memory planner: offsets in one arena for everything that is temporary.
import type { Storage } from "./storage.js";

/** Alignment of every block: a cache line, which is also the widest vector. */
const ALIGNMENT = 64;

const aligned = (bytes: number) => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

/**
 * Gives every storage an offset such that no two that are alive at the same call overlap. Largest first, each at the lowest place that
 * fits tightest: close to the best known packings for such graphs, and the same on every run.
 *
 * @returns Bytes of the arena.
 */
export function planArena(storages: Iterable<Storage>): number {
	const blocks = [...storages]
		.filter((s) => s.inArena && s.lastUse >= 0)
		.map((storage, order) => ({ storage, order, bytes: aligned(storage.bytes) }));
	blocks.sort((a, b) => b.bytes - a.bytes || a.storage.firstUse - b.storage.firstUse || a.order - b.order);
	const placed: Storage[] = []; // by offset
	let arena = 0;
	for (const { storage, bytes } of blocks) {
		let best = -1;
		let bestGap = Number.POSITIVE_INFINITY;
		let end = 0; // end of the occupied part below the gap under inspection
		for (const other of placed) {
			if (other.firstUse > storage.lastUse || other.lastUse < storage.firstUse) continue;
			const gap = other.arenaOffset - end;
			if (gap >= bytes && gap < bestGap) {
				best = end;
				bestGap = gap;
			}
			end = Math.max(end, other.arenaOffset + aligned(other.bytes));
		}
		storage.arenaOffset = best >= 0 ? best : end;
		arena = Math.max(arena, storage.arenaOffset + bytes);
		let at = placed.length;
		while (at > 0 && placed[at - 1]!.arenaOffset > storage.arenaOffset) at--;
		placed.splice(at, 0, storage);
	}
	return arena;
}
