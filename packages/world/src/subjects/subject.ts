// What a subject is: its parts, how it is drawn, and what may truly be said of it.
import type { Pen } from "../primitives.js";

export type PartValue = string | number | boolean;

/** What a part may be: one of some values, or a number in a range. */
export type PartSpec =
	| { readonly values: readonly PartValue[]; readonly weights?: readonly number[] }
	| { readonly min: number; readonly max: number };

/** Phrases that are true of the picture. */
export interface Words {
	/** Adjectives. */
	readonly adj: readonly string[];
	/** What may follow "with". */
	readonly has: readonly string[];
}

type PartsOf<S> = { readonly [K in keyof S]: S[K] extends { values: readonly (infer V)[] } ? V : number };

interface SubjectTraits {
	/** The first is the plain one. */
	readonly nouns: readonly string[];
	/** Of the nouns, where they are irregular. */
	readonly plurals?: readonly string[];
	/** Subjects on the ground or water stand on y = 45; those in the air are centred. */
	readonly anchor: "ground" | "water" | "air";
	/** Whether left and right differ, so that mirroring shows. */
	readonly facing: boolean;
	/** Has a face that looks somewhere, which a caption may say. */
	readonly looks?: boolean;
	/** Degrees it leans at most; 16 unless given. */
	readonly maxLean?: number;
	/** Scale that makes it as large as the others; 1 unless given. */
	readonly fit?: number;
}

/** Drawn in a local box of x and y in [−50, 50], y down. */
export interface Subject extends SubjectTraits {
	readonly parts: Readonly<Record<string, PartSpec>>;
	draw(pen: Pen, parts: Readonly<Record<string, PartValue>>): void;
	words(parts: Readonly<Record<string, PartValue>>): Words;
}

/** Declares a subject with its parts' values typed. */
export function subject<const S extends Record<string, PartSpec>>(
	definition: SubjectTraits & {
		readonly parts: S;
		draw(pen: Pen, parts: PartsOf<S>): void;
		words(parts: PartsOf<S>): Words;
	},
): Subject {
	return definition as Subject;
}

export const NUMERALS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight"] as const;

/** "one window", "two windows". */
export function counted(number: number, one: string, many = `${one}s`): string {
	return `${NUMERALS[number]} ${number === 1 ? one : many}`;
}

export function lerp(from: number, to: number, share: number): number {
	return from + (to - from) * share;
}

/** The word for the low or the high third of a part's range; nothing between. */
export function extremes(share: number, low: string, high: string): string[] {
	return share < 0.33 ? [low] : share > 0.67 ? [high] : [];
}
