// A part that begins as normal numbers.
import { normals, type Shape } from "@dreamdist/core";
import type { PartToTrain } from "./trained-parts.js";

/** @param index of the part among the method's, which decides its numbers */
export function randomPart(name: string, shape: Shape, deviation: number, seed: number, index: number): PartToTrain {
	const size = shape.reduce((a, b) => a * b, 1);
	return {
		name,
		shape,
		initial: async () => normals(seed, "weights", 0, index, size).map((value) => value * deviation),
	};
}
