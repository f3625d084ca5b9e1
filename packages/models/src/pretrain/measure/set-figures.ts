// How pictures are measured against the exact distributions that reference sets were drawn from. Pure functions.
import { ATTRIBUTES, type Attribute, type AttributeValue, attributeDistribution } from "@dreamdist/world";
import type { AttributeReading } from "./world-classifier.js";

/** An attribute with one value in all of a set. */
export interface FixedAttribute {
	readonly attribute: Attribute;
	readonly value: AttributeValue;
}

/** What all pictures of a set share. */
export function fixedAttributes(set: string): FixedAttribute[] {
	return ATTRIBUTES.flatMap((attribute) => {
		const [value, ...others] = attributeDistribution(set, attribute).keys();
		return others.length === 0 ? [{ attribute, value: value! }] : [];
	});
}

function mean(values: readonly number[]): number {
	return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Share of the pictures' fixed attributes that are as in the set; null for a set that has none. */
export function fixedMatch(set: string, readings: readonly AttributeReading[]): number | null {
	const fixed = fixedAttributes(set);
	if (fixed.length === 0) return null;
	return mean(fixed.map(({ attribute, value }) => mean(readings.map((read) => Number(read[attribute] === value)))));
}

/** Share of all attributes whose value comes up in the set at all. */
export function supportMatch(set: string, readings: readonly AttributeReading[]): number {
	return mean(
		ATTRIBUTES.map((attribute) => {
			const values = attributeDistribution(set, attribute);
			return mean(readings.map((read) => Number(values.has(read[attribute]))));
		}),
	);
}

/** Of the values that the set's varying attributes take: the share that comes up among the pictures, the mean over those attributes. */
export function coverage(set: string, readings: readonly AttributeReading[]): number {
	const shares: number[] = [];
	for (const attribute of ATTRIBUTES) {
		const values = attributeDistribution(set, attribute);
		if (values.size < 2) continue;
		const seen = new Set<AttributeValue>(readings.map((read) => read[attribute]));
		shares.push([...values.keys()].filter((value) => seen.has(value)).length / values.size);
	}
	return shares.length === 0 ? 1 : mean(shares);
}

/** The mean distance between the features of two pictures, over all pairs. */
export function diversity(features: ArrayLike<number>, width: number): number {
	const count = features.length / width;
	let total = 0;
	for (let a = 0; a < count; a++)
		for (let b = 0; b < a; b++) {
			let squares = 0;
			for (let i = 0; i < width; i++) squares += (features[a * width + i]! - features[b * width + i]!) ** 2;
			total += Math.sqrt(squares);
		}
	return total / ((count * (count - 1)) / 2);
}

/**
 * How far pictures lean towards the second of two sets, 0…1: the probability that an attribute's value came from it and not from the first, by the sets' exact
 * distributions; the mean over pictures and the attributes in which the sets differ by half or more. A value that neither has counts as a half.
 */
export function leaning(first: string, second: string, readings: readonly AttributeReading[]): number {
	const shares: number[] = [];
	for (const attribute of ATTRIBUTES) {
		const [a, b] = [attributeDistribution(first, attribute), attributeDistribution(second, attribute)];
		const values = new Set([...a.keys(), ...b.keys()]);
		let difference = 0;
		for (const value of values) difference += Math.abs((a.get(value) ?? 0) - (b.get(value) ?? 0)) / 2;
		if (difference < 0.5) continue;
		shares.push(
			mean(
				readings.map((read) => {
					const [p, q] = [a.get(read[attribute]) ?? 0, b.get(read[attribute]) ?? 0];
					return p + q === 0 ? 0.5 : q / (p + q);
				}),
			),
		);
	}
	return shares.length === 0 ? 0.5 : mean(shares);
}

/** Share of pictures whose attribute has a value. */
export function shareWith(readings: readonly AttributeReading[], attribute: Attribute, value: AttributeValue): number {
	return mean(readings.map((read) => Number(read[attribute] === value)));
}

/** Share of pictures with a subject of the set's. */
export function subjectStays(set: string, readings: readonly AttributeReading[]): number {
	const subjects = attributeDistribution(set, "subject");
	return mean(readings.map((read) => Number(subjects.has(read.subject))));
}

/** Whether each is above the one before, or below it by no more than chance allows. */
export function rises(values: readonly number[], tolerance = 0): boolean {
	return values.every((value, i) => i === 0 || value >= values[i - 1]! - tolerance);
}
