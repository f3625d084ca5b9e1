// What --sweep means: which thing changes along a row, and over which values.
import { InvalidArgumentError } from "commander";

export const SWEEP_KINDS = ["scale", "mix"] as const;

export interface Sweep {
	readonly kind: (typeof SWEEP_KINDS)[number];
	readonly values: readonly number[];
}

const NUMBER = String.raw`[+-]?(?:\d+\.?\d*|\.\d+)`;
const RANGE = new RegExp(`^(${NUMBER}):(${NUMBER}):(${NUMBER})$`);
const SINGLE = new RegExp(`^${NUMBER}$`);
/** More make no sheet that anyone could look at. */
const MAX_VALUES = 100;

/** `scale=0,0.5,1`, `mix=0:1:0.25`: numbers and ranges FROM:TO:STEP, both ends included. */
export function parseSweep(text: string): Sweep {
	const [name, list] = [text.slice(0, text.indexOf("=")), text.slice(text.indexOf("=") + 1)];
	const kind = SWEEP_KINDS.find((one) => one === name);
	if (!kind || !text.includes("="))
		throw new InvalidArgumentError("It must be scale=VALUES or mix=VALUES, as in scale=0,0.5,1 or mix=0:1:0.25.");
	const values = list.split(",").flatMap((part) => parseRange(part.trim()));
	if (new Set(values).size < values.length) throw new InvalidArgumentError("A value is there twice.");
	if (values.length > MAX_VALUES)
		throw new InvalidArgumentError(`It has ${values.length} values; at most ${MAX_VALUES} fit a sheet.`);
	const highest = kind === "mix" ? 1 : Number.POSITIVE_INFINITY;
	const wrong = values.find((value) => value < 0 || value > highest);
	if (wrong !== undefined)
		throw new InvalidArgumentError(`${wrong} is not ${kind === "mix" ? "from 0 to 1" : "from 0 on"}.`);
	return { kind, values };
}

function parseRange(part: string): number[] {
	if (SINGLE.test(part)) return [Number(part)];
	const match = RANGE.exec(part);
	if (!match) throw new InvalidArgumentError(`"${part}" is no number and no range FROM:TO:STEP.`);
	const [from, to, step] = match.slice(1).map(Number) as [number, number, number];
	const count = (to - from) / step;
	if (!(count >= 0) || !Number.isFinite(count))
		throw new InvalidArgumentError(`The step of the range ${part} never leads from ${from} to ${to}.`);
	if (count > MAX_VALUES) throw new InvalidArgumentError(`The range ${part} has more than ${MAX_VALUES} values.`);
	// Sums of steps such as 0.1 miss the end by rounding.
	const values = Array.from({ length: Math.floor(count + 1e-9) + 1 }, (_, i) => Number((from + i * step).toFixed(9)));
	return values;
}
