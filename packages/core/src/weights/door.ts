// The one door through which model functions get their weights.
import { FormatError } from "../errors.js";
import type { Graph, Value } from "../graph/graph.js";
import { formatShape, type Shape } from "../graph/types.js";
import { cast } from "../ops/elementwise.js";
import { concat } from "../ops/shape.js";

/**
 * What a model function asks for its weights. Whoever calls it decides what it receives: frozen weights, trainable state, or something
 * computed around either. Names are the checkpoint's own, relative to the scope.
 */
export interface Weights {
	/** The graph that the values belong to. */
	readonly graph: Graph;
	/** The scope's full name, without a dot at its end; "" at the top. */
	readonly path: string;
	/**
	 * The weight of this name and shape.
	 *
	 * @throws WeightsError naming the weight if it is not there or has another shape
	 */
	get(name: string, shape: Shape): Value;
	/** The same, or null if there is no weight of this name. One of another shape is an error all the same. */
	optional(name: string, shape: Shape): Value | null;
	has(name: string): boolean;
	/**
	 * Several weights one after another along the first axis, as one: layers that read the same input run as one product. Frozen ones are
	 * put together when they are packed, and cost nothing more.
	 */
	stack(parts: readonly WeightPart[]): Value;
	/** The weights whose names begin with `prefix` and a dot. */
	scope(prefix: string): Weights;
}

/** One of several weights in a stack. */
export interface WeightPart {
	readonly name: string;
	/** All but the first axis must be equal in all parts. */
	readonly shape: Shape;
}

/** Where a door finds weights by their full names. */
export interface WeightSource {
	has(name: string): boolean;
	/** Null if there is none of this name. @throws WeightsError if its shape is another */
	find(name: string, shape: Shape): Value | null;
	/** Several weights in one, where the source has a better way than joining their values; null where it has not. */
	stack?(parts: readonly WeightPart[]): Value | null;
	/** Named in errors, usually a file or folder. */
	readonly origin: string;
}

/** Weights that a model asks for and those at hand do not match. Code `BAD_WEIGHTS`. */
export class WeightsError extends FormatError {
	/** Full names of weights that are not there. */
	readonly missing: readonly string[];
	/** Full names of weights of another shape. */
	readonly misshaped: readonly string[];
	/** Full names of weights that nothing asks for. */
	readonly unexpected: readonly string[];

	constructor(
		origin: string,
		message: string,
		names: { missing?: readonly string[]; misshaped?: readonly string[]; unexpected?: readonly string[] },
	) {
		super("BAD_WEIGHTS", origin, message);
		this.missing = names.missing ?? [];
		this.misshaped = names.misshaped ?? [];
		this.unexpected = names.unexpected ?? [];
	}
}

/** Opens a door over a source, for one graph. */
export function openDoor(graph: Graph, source: WeightSource, path = ""): Weights {
	const full = (name: string) => (path === "" ? name : `${path}.${name}`);
	const get = (name: string, shape: Shape): Value => {
		const value = source.find(full(name), shape);
		if (value) return value;
		throw new WeightsError(
			source.origin,
			`${source.origin}: the weight "${full(name)}" ${formatShape(shape)} is missing`,
			{ missing: [full(name)] },
		);
	};
	return {
		graph,
		path,
		get,
		optional: (name, shape) => (source.has(full(name)) ? source.find(full(name), shape) : null),
		has: (name) => source.has(full(name)),
		stack: (parts) =>
			source.stack?.(parts.map(({ name, shape }) => ({ name: full(name), shape }))) ??
			joinRows(parts.map(({ name, shape }) => get(name, shape))),
		scope: (prefix) => openDoor(graph, source, full(prefix)),
	};
}

/** Values one after another along the first axis; in f32 where their precisions differ. */
export function joinRows(values: readonly Value[]): Value {
	const mixed = values.some(({ dtype }) => dtype !== values[0]!.dtype);
	return concat(mixed ? values.map((value) => cast(value, "f32")) : values, 0);
}

/** The error for a weight whose shape is not the one asked for. */
export function misshaped(origin: string, name: string, actual: Shape, asked: Shape): WeightsError {
	return new WeightsError(
		origin,
		`${origin}: the weight "${name}" has the shape ${formatShape(actual)}; the model's configuration asks for ${formatShape(asked)}`,
		{ misshaped: [name] },
	);
}
