// Reading a network's config.json: every key known, every value supported, or an error that names the key.
import { FormatError } from "@dreamdist/core";
import { z } from "zod";

/** A positive whole number. */
export const count = z.int("must be a whole number").min(1, "must be at least 1");

/** One of several names. */
export function choice<const T extends readonly string[]>(...values: T) {
	return z.enum(values, { error: ({ input }) => `is ${JSON.stringify(input)}; supported: ${values.join(", ")}` });
}

/** A key that must be absent, null or one of the given values: other values would change the network in ways not supported here. */
export function onlyValues<const T extends string | number | boolean>(...values: readonly T[]) {
	return z
		.literal(values, { error: ({ input }) => `is ${JSON.stringify(input)}; supported: ${values.join(", ")}` })
		.nullish();
}

/** A key that must be absent or null. */
export const absent = z
	.null({ error: ({ input }) => `is ${JSON.stringify(input)}, which is not supported` })
	.optional();

/**
 * Checks a configuration against a schema. Keys that begin with "_" are ignored, as are unknown keys that are null or false: options of later
 * releases that are switched off.
 *
 * @param source named in errors: the file
 * @throws FormatError `BAD_CONFIG` naming the key
 */
export function readConfig<S extends z.ZodObject>(schema: S, json: unknown, source: string): z.infer<S> {
	if (typeof json !== "object" || json === null || Array.isArray(json))
		throw badConfig(source, "it is not a JSON object");
	const known: Record<string, unknown> = {};
	for (const [key, value] of Object.entries(json)) {
		if (key.startsWith("_")) continue;
		if (key in schema.shape) known[key] = value;
		else if (value !== null && value !== false)
			throw badConfig(source, `"${key}" is not a known key; remove it if it may be ignored`);
	}
	const result = schema.safeParse(known);
	if (result.success) return result.data;
	const issue = result.error.issues[0]!;
	const path = issue.path.map((part, i) => (typeof part === "number" ? `[${part}]` : i ? `.${String(part)}` : part));
	throw badConfig(source, `"${path.join("")}" ${describe(issue)}`);
}

function describe(issue: z.core.$ZodIssue): string {
	if (issue.code === "invalid_type" && issue.input === undefined && /received undefined/.test(issue.message))
		return "is missing";
	if (issue.code === "invalid_union") {
		const inner = issue.errors.flat().find((error) => error.message !== "Invalid input");
		return inner && inner.code !== "invalid_type" ? inner.message : "is not of a supported form";
	}
	return issue.message.replace(/^Invalid input: /, "").replace(/^expected/, "must be of type");
}

export function badConfig(source: string, problem: string): FormatError {
	return new FormatError("BAD_CONFIG", source, `${source}: ${problem}.`);
}

/** One value for every block, or a list with one per block. */
export function perBlock<T>(value: T | readonly T[], blocks: number, key: string, source: string): T[] {
	if (!Array.isArray(value)) return new Array<T>(blocks).fill(value as T);
	if (value.length !== blocks) throw badConfig(source, `"${key}" has ${value.length} values for ${blocks} blocks`);
	return [...(value as readonly T[])];
}
