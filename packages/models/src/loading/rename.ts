// Tensor names from one layout to another, module by module.

/** Where a module of the source goes: prefixes without a dot at the end. */
export type Renames = ReadonlyMap<string, string>;

/**
 * Renames a tensor by the longest of its leading parts that is listed.
 *
 * @returns null where none is
 */
export function rename(name: string, renames: Renames): string | null {
	for (let end = name.length; end > 0; end = name.lastIndexOf(".", end - 1)) {
		const target = renames.get(name.slice(0, end));
		if (target !== undefined) return target + name.slice(end);
	}
	return null;
}

/** Renames for a module whose parts have other names, under both of its prefixes. */
export function nested(from: string, to: string, parts: Readonly<Record<string, string>>): [string, string][] {
	return Object.entries(parts).map(([source, target]) => [`${from}.${source}`, `${to}.${target}`]);
}
