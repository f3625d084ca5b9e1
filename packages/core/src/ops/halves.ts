// A picture given as two values side by side, as skip connections are: what convolutions and group norms share. They take the two
// as inputs of their own, so that nothing joins them forward and nothing cuts their gradients apart.
import type { Value } from "../graph/graph.js";
import type { Type } from "../graph/types.js";
import { concatOp } from "./shape.js";
import type { Contents } from "./table.js";

/** The two values that `x` joins along its last axis, or x alone. */
export function halvesOf(x: Value): readonly [Value, Value | null] {
	const parts = x.node.inputs;
	const joined = x.node.op === concatOp && parts.length === 2 && x.node.attributes.axis === x.rank - 1;
	return joined ? [parts[0]!, parts[1]!] : [x, null];
}

/** The type of both side by side. */
export function joinedType(x1: Type, x2: Type | null): Type {
	return x2 ? { shape: [...x1.shape.slice(0, -1), x1.shape.at(-1)! + x2.shape.at(-1)!], dtype: x1.dtype } : x1;
}

/** The contents of both side by side: c1 and c2 elements in turn. */
export function joinContents(x1: Contents, x2: Contents | null, c1: number, c2: number): Contents {
	if (!x2) return x1;
	const out = new Float64Array(x1.length + x2.length);
	for (let row = 0; row * (c1 + c2) < out.length; row++) {
		out.set(x1.subarray(row * c1, (row + 1) * c1), row * (c1 + c2));
		out.set(x2.subarray(row * c2, (row + 1) * c2), row * (c1 + c2) + c1);
	}
	return out;
}

/** The inverse of `joinContents`, by the widths of one or two values. */
export function cutContents(data: Contents, widths: readonly number[]): Contents[] {
	if (widths.length === 1) return [data];
	const row = widths.reduce((sum, width) => sum + width, 0);
	let start = 0;
	return widths.map((width) => {
		const out = new Float64Array((data.length / Math.max(1, row)) * width);
		for (let r = 0; r * row < data.length; r++)
			out.set(data.subarray(r * row + start, r * row + start + width), r * width);
		start += width;
		return out;
	});
}
