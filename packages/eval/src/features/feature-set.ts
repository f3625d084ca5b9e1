// The features of a set of pictures.
import { ArgumentError } from "@dreamdist/core";

/** One row of features per picture. */
export interface FeatureSet {
	readonly rows: number;
	readonly width: number;
	/** [rows, width], row-major. */
	readonly data: Float32Array | Float64Array;
}

/** @throws ArgumentError when the numbers do not make whole rows, or one of them is not finite */
export function featureSet(data: Float32Array | Float64Array, width: number): FeatureSet {
	const rows = data.length / width;
	if (!Number.isInteger(rows) || width < 1)
		throw new ArgumentError(`${data.length} features do not make rows of ${width}`);
	const bad = data.findIndex((value) => !Number.isFinite(value));
	if (bad >= 0) throw new ArgumentError(`picture ${Math.floor(bad / width)} has a feature that is not a number`);
	return { rows, width, data };
}

/** Rows of unit length; a row of zeros stays as it is. */
export function normalizedRows({ rows, width, data }: FeatureSet): FeatureSet {
	const out = new Float64Array(data.length);
	for (let row = 0; row < rows; row++) {
		let squares = 0;
		for (let i = row * width; i < (row + 1) * width; i++) squares += data[i]! ** 2;
		const factor = squares > 0 ? 1 / Math.sqrt(squares) : 0;
		for (let i = row * width; i < (row + 1) * width; i++) out[i] = data[i]! * factor;
	}
	return { rows, width, data: out };
}

/** The rows with these indices, repeats allowed. */
export function pickRows({ width, data }: FeatureSet, indices: ArrayLike<number>): FeatureSet {
	const out = new Float64Array(indices.length * width);
	for (let i = 0; i < indices.length; i++)
		out.set(data.subarray(indices[i]! * width, (indices[i]! + 1) * width), i * width);
	return { rows: indices.length, width, data: out };
}

/** @throws ArgumentError when two sets can't be compared */
export function checkPair(metric: string, a: FeatureSet, b: FeatureSet, least = 1): void {
	if (a.width !== b.width)
		throw new ArgumentError(`${metric}: features of width ${a.width} and ${b.width} can't be compared`);
	for (const [name, { rows }] of Object.entries({ real: a, generated: b }))
		if (rows < least)
			throw new ArgumentError(
				`${metric} needs ${least} ${name} pictures or more, and there ${rows === 1 ? "is 1" : `are ${rows}`}`,
			);
}
