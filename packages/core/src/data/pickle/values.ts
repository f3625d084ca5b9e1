// What a pickle can hold here. Nothing in it is code.

/** A class or function that a pickle names. It is only a name. */
export class PickleGlobal {
	constructor(
		readonly module: string,
		readonly name: string,
	) {}

	toString(): string {
		return `${this.module}.${this.name}`;
	}
}

/** An immutable sequence, kept apart from lists. */
export class PickleTuple {
	constructor(readonly items: readonly PickleValue[]) {}
}

/** An instance of a class whose data are kept and whose code is not: its arguments and its state. */
export class PickleObject {
	/** What the pickle set on it; null where it set nothing. */
	state: PickleValue = null;

	constructor(
		readonly type: PickleGlobal,
		readonly args: readonly PickleValue[],
	) {}
}

/** A value that a reader of some format makes of a pickle's pieces, such as a tensor. */
export abstract class PickleExtension {
	/** Says what it is, in errors. */
	abstract describe(): string;
}

export type PickleValue =
	| null
	| boolean
	| number
	| bigint
	| string
	| Uint8Array
	| PickleValue[]
	| PickleTuple
	| Map<PickleValue, PickleValue>
	| Set<PickleValue>
	| PickleGlobal
	| PickleObject
	| PickleExtension;

/** A value's kind as a Python user would call it. */
export function pickleKind(value: PickleValue | undefined): string {
	if (value === undefined) return "nothing";
	if (value === null) return "None";
	if (typeof value === "boolean") return "a bool";
	if (typeof value === "number" || typeof value === "bigint") return "a number";
	if (typeof value === "string") return "a string";
	if (value instanceof Uint8Array) return "bytes";
	if (Array.isArray(value)) return "a list";
	if (value instanceof PickleTuple) return "a tuple";
	if (value instanceof Map) return "a dict";
	if (value instanceof Set) return "a set";
	if (value instanceof PickleGlobal) return String(value);
	if (value instanceof PickleObject) return `an object of ${value.type}`;
	return value.describe();
}
