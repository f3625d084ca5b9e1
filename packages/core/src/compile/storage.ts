// Virtual memory of a program under compilation.
import type { NativeBuffer } from "@dreamdist/native-cuda";
import type { DType } from "../graph/types.js";

/** A block of memory: a place in the arena that the planner chooses, or a buffer of its own. */
export class Storage {
	/** Byte offset in the arena, once planned. */
	arenaOffset = -1;
	/** Calls between which it is alive. */
	firstUse = Number.POSITIVE_INFINITY;
	lastUse = -1;

	/** The native memory of a buffer of its own; weights get theirs once the plan is accepted. */
	buffer: NativeBuffer | null = null;

	constructor(
		readonly bytes: number,
		readonly dtype: DType,
		/** For printouts. */
		readonly name: string,
		/** Inputs live from the start of the run, outputs to its end. */
		readonly role: "temporary" | "input" | "output" | "constant" | "state" | "weight",
	) {}

	get inArena(): boolean {
		return this.role === "temporary" || this.role === "input" || this.role === "output";
	}
}
