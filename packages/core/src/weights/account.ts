// Accounts for weights before anything is compiled: what a model asks for against what there is.
import { Graph, type Value } from "../graph/graph.js";
import { formatShape, type Shape, sameShape } from "../graph/types.js";
import { misshaped as misshapedError, openDoor, type Weights, WeightsError } from "./door.js";
import { fitsShape } from "./weight-set.js";

/** Writes a network into a throw-away graph; what it returns does not matter. */
export type TraceModel = (graph: Graph, weights: Weights) => unknown;

/**
 * Every weight that a model asks for, with its shape, in the order of asking. Nothing is loaded and nothing runs.
 *
 * @param present names for which `has` and `optional` say yes; default none
 */
export function declaredWeights(trace: TraceModel, present: ReadonlySet<string> = new Set()): Map<string, Shape> {
	const graph = new Graph();
	const asked = new Map<string, Value>();
	const find = (name: string, shape: Shape): Value => {
		const known = asked.get(name) ?? graph.input(`weight ${name}`, shape);
		asked.set(name, known);
		if (sameShape(known.shape, shape)) return known;
		throw misshapedError("model", name, known.shape, shape);
	};
	trace(graph, openDoor(graph, { origin: "model", has: (name) => present.has(name), find }));
	return new Map([...asked].map(([name, value]) => [name, value.shape]));
}

/** Numbers in all declared weights together. */
export function countParameters(declared: ReadonlyMap<string, Shape>): number {
	let total = 0;
	for (const shape of declared.values()) total += shape.reduce((a, b) => a * b, 1);
	return total;
}

/** At most so many names of a kind in a message; the error has them all. */
const NAMES_SHOWN = 12;

function listing(count: number, what: string, items: readonly string[]): string {
	const shown = items.slice(0, NAMES_SHOWN).join(", ");
	const rest = items.length > NAMES_SHOWN ? ` and ${items.length - NAMES_SHOWN} more` : "";
	return `${count} ${what} (${shown}${rest})`;
}

/**
 * Compares what a model asks for with what there is.
 *
 * @param declared from `declaredWeights`
 * @param held shapes of the weights at hand
 * @param origin named in the error: the file or folder they come from
 * @throws WeightsError that lists every missing, misshaped and unexpected weight
 */
export function accountForWeights(
	declared: ReadonlyMap<string, Shape>,
	held: ReadonlyMap<string, { readonly shape: Shape }>,
	origin: string,
): void {
	const missing = [...declared.keys()].filter((name) => !held.has(name));
	const unexpected = [...held.keys()].filter((name) => !declared.has(name));
	const misshaped = [...declared].flatMap(([name, shape]) => {
		const actual = held.get(name)?.shape;
		return actual && !fitsShape(actual, shape) ? [{ name, actual, shape }] : [];
	});
	const parts = [
		missing.length > 0 ? listing(missing.length, "missing", missing) : null,
		misshaped.length > 0
			? listing(
					misshaped.length,
					"of another shape",
					misshaped.map((m) => `${m.name}: ${formatShape(m.actual)} instead of ${formatShape(m.shape)}`),
				)
			: null,
		unexpected.length > 0 ? listing(unexpected.length, "unexpected", unexpected) : null,
	].filter((part) => part !== null);
	if (parts.length === 0) return;
	throw new WeightsError(origin, `${origin}: its weights do not match its configuration: ${parts.join("; ")}`, {
		missing,
		misshaped: misshaped.map(({ name }) => name),
		unexpected,
	});
}
