// Weights that training changes, and weights computed around others.
import type { Tensor } from "../device/tensor.js";
import type { Graph, Value } from "../graph/graph.js";
import { type Shape, sameShape } from "../graph/types.js";
import { joinRows, misshaped, openDoor, type Weights } from "./door.js";

/** A door to state: what it gives out is the tensors' contents when a run starts, to differentiate and to assign to. */
export function trainableWeights(
	graph: Graph,
	tensors: ReadonlyMap<string, Tensor>,
	origin = "trainable weights",
): Weights {
	return openDoor(graph, {
		origin,
		has: (name) => tensors.has(name),
		find: (name, shape) => {
			const tensor = tensors.get(name);
			if (!tensor) return null;
			if (!sameShape(tensor.shape, shape)) throw misshaped(origin, name, tensor.shape, shape);
			return graph.state(tensor);
		},
	});
}

/** A weight asked for through a wrapping door. */
export interface WrappedWeight {
	/** Full name. */
	readonly name: string;
	readonly shape: Shape;
	/** The inner door's weight, traced into the graph only if this is called. */
	inner(): Value;
}

/**
 * A door around another: `wrap` decides, weight by weight, what the model receives. Null passes the inner weight on.
 *
 * ```ts
 * // W + B·A wherever there is a low-rank pair for W
 * wrapWeights(weights, ({ name, inner }) => {
 *   const pair = pairs.get(name);
 *   return pair ? add(inner(), matmul(pair.b, pair.a)) : null;
 * });
 * ```
 *
 * @param weights the inner door, unscoped
 */
export function wrapWeights(weights: Weights, wrap: (weight: WrappedWeight) => Value | null): Weights {
	const wrapped = (name: string, shape: Shape): Value | null => {
		const value = wrap({ name, shape, inner: () => weights.get(name, shape) });
		if (value && !sameShape(value.shape, shape)) throw misshaped("wrapped weights", name, value.shape, shape);
		return value;
	};
	return openDoor(weights.graph, {
		origin: "wrapped weights",
		has: (name) => weights.has(name),
		find: (name, shape) => (weights.has(name) ? (wrapped(name, shape) ?? weights.get(name, shape)) : null),
		stack: (parts) => {
			if (parts.some(({ name }) => !weights.has(name))) return null;
			const values = parts.map(({ name, shape }) => wrapped(name, shape));
			if (values.every((value) => value === null)) return weights.stack(parts);
			return joinRows(values.map((value, i) => value ?? weights.get(parts[i]!.name, parts[i]!.shape)));
		},
	});
}
