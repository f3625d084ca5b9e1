// Constraints on what a scene may be: a value, some values, weighted values, or a range.
import type { RandomStream } from "./random.js";

type Weights<T extends string | number | boolean> = { readonly [V in `${T}`]?: number };

/** One value; several, equally likely; or values with weights. */
export type Choice<T extends string | number | boolean> = T | readonly T[] | Weights<T>;

/** One number; several, equally likely; or a range, uniformly. */
export type Range = number | readonly number[] | { readonly min?: number; readonly max?: number };

export type PartConstraint = Choice<string> | Choice<boolean> | Range;

function isRange(constraint: object): constraint is { min?: number; max?: number } {
	return "min" in constraint || "max" in constraint;
}

/**
 * The values a constraint allows, with their probabilities.
 *
 * @param all every value there is; what is allowed without a constraint
 * @param weights of all values, where they are not equally likely by themselves
 * @throws RangeError naming a value that does not exist
 */
export function probabilities<T extends string | number | boolean>(
	name: string,
	constraint: Choice<T> | undefined,
	all: readonly T[],
	weights?: readonly number[],
): Map<T, number> {
	const { values, shares } = allowed(name, constraint, all, weights);
	const total = shares.reduce((sum, share) => sum + share, 0);
	const map = new Map<T, number>();
	values.forEach((value, i) => {
		if (shares[i]! > 0) map.set(value, (map.get(value) ?? 0) + shares[i]! / total);
	});
	return map;
}

/** Draws one of the values a constraint allows. */
export function choose<T extends string | number | boolean>(
	random: RandomStream,
	name: string,
	constraint: Choice<T> | undefined,
	all: readonly T[],
	weights?: readonly number[],
): T {
	const { values, shares, equal } = allowed(name, constraint, all, weights);
	if (typeof constraint !== "object" && constraint !== undefined) return values[0]!;
	return equal ? random.pick(values) : random.weighted(values, shares);
}

function allowed<T extends string | number | boolean>(
	name: string,
	constraint: Choice<T> | undefined,
	all: readonly T[],
	weights: readonly number[] | undefined,
): { values: readonly T[]; shares: readonly number[]; equal: boolean } {
	const known = (value: string | number | boolean): T => {
		const found = all.find((each) => String(each) === String(value));
		if (found !== undefined) return found;
		throw new RangeError(`There is no ${name} "${value}"; there are ${all.join(", ")}.`);
	};
	const equally = (values: readonly T[]) => ({ values, shares: values.map(() => 1), equal: true });
	if (constraint === undefined) return weights ? { values: all, shares: weights, equal: false } : equally(all);
	if (typeof constraint !== "object") return equally([known(constraint)]);
	const listed: readonly (string | number | boolean)[] = Array.isArray(constraint)
		? constraint
		: Object.keys(constraint);
	if (listed.length === 0) throw new RangeError(`The constraint on ${name} allows no value.`);
	const values = listed.map(known);
	if (Array.isArray(constraint)) return equally(values);
	const shares = Object.values(constraint as Record<string, number>);
	if (!shares.every((share) => share >= 0) || !shares.some((share) => share > 0))
		throw new RangeError(`The weights of ${name} must be positive numbers: ${shares.join(", ")}.`);
	return { values, shares, equal: false };
}

/** A number within a constraint, to three decimals; uniform between `low` and `high` without one. */
export function chooseNumber(random: RandomStream, constraint: Range | undefined, low: number, high: number): number {
	const u = random.uniform();
	if (typeof constraint === "number") return constraint;
	if (isList(constraint)) return constraint[Math.floor(u * constraint.length)]!;
	const { min = low, max = high } = constraint ?? {};
	return Math.round((min + (max - min) * u) * 1000) / 1000;
}

function isList(constraint: Range | undefined): constraint is readonly number[] {
	return Array.isArray(constraint);
}

/** Whether a constraint allows a value; an absent one allows all. */
export function allows(
	constraint: PartConstraint | Choice<number> | undefined,
	value: string | number | boolean,
): boolean {
	if (constraint === undefined) return true;
	if (typeof constraint !== "object") return constraint === value;
	if (Array.isArray(constraint)) return (constraint as readonly (string | number | boolean)[]).includes(value);
	if (!isRange(constraint)) return ((constraint as Record<string, number>)[String(value)] ?? 0) > 0;
	const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = constraint;
	// Numbers of scenes are rounded.
	return typeof value === "number" && value >= min - 1e-9 && value <= max + 1e-9;
}
