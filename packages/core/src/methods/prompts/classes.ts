// Classes of a distribution by their names.
import { ArgumentError } from "../../errors.js";

/** @throws ArgumentError naming classes that there are */
export function classIndexOf(classes: readonly string[] | null, name: string): number {
	if (!classes) throw new ArgumentError(`this distribution has no classes, so it has no class "${name}"`);
	const index = classes.indexOf(name);
	if (index >= 0) return index;
	const some = classes.slice(0, 8).join(", ");
	throw new ArgumentError(
		`there is no class "${name}"; the ${classes.length} classes are ${some}${classes.length > 8 ? ", …" : ""}`,
	);
}
