// What differs between the runs of different methods: their settings, and what a checkpoint of theirs holds.
import type { z } from "zod";
import { type LearnSettings, learnSettingsSchema } from "../learn-settings.js";
import type { LearnerState } from "../learner.js";
import { readCheckpoint, writeCheckpoint } from "./checkpoint.js";

export interface RunKind<Settings extends object, State extends { readonly step: number }> {
	/** As `--method` names it. */
	readonly method: string;
	readonly settings: z.ZodType<Settings>;
	/** Settings that may change when a run goes on. */
	readonly changeable: ReadonlySet<string>;
	/** Checkpoints that are kept unless a run is told otherwise; 0: all. */
	readonly keep: number;
	/** @param folder of all checkpoints */
	readCheckpoint(folder: string, step: number): Promise<State>;
	writeCheckpoint(folder: string, state: State, keep: number): Promise<unknown>;
}

/** What a record means that names no method. */
export const LEARNING_METHOD = "dream-distribution";

/** Learning a distribution of prompts. */
export const LEARNING_RUN: RunKind<LearnSettings, LearnerState> = {
	method: LEARNING_METHOD,
	// Records are written with the size filled in.
	settings: learnSettingsSchema as unknown as z.ZodType<LearnSettings>,
	// How far it goes, and what it spends memory on.
	changeable: new Set(["steps", "recompute"]),
	keep: 0,
	readCheckpoint,
	writeCheckpoint,
};
